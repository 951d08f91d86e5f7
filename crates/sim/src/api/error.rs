//! rippled's error answers.

use serde_json::{Value as Json, json};

use super::Fields;

/// An error answer.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    error: &'static str,
    code: Option<i64>,
    message: Option<String>,
    exception: Option<String>,
    more: Fields,
}

impl ApiError {
    pub(crate) fn new(error: &'static str, code: i64, message: impl Into<String>) -> ApiError {
        ApiError { code: Some(code), message: Some(message.into()), ..ApiError::bare(error) }
    }

    /// An error that has neither code nor message.
    pub(crate) fn bare(error: &'static str) -> ApiError {
        ApiError { error, code: None, message: None, exception: None, more: Fields::new() }
    }

    /// A transaction that cannot be looked at.
    pub(crate) fn invalid_transaction(exception: impl Into<String>) -> ApiError {
        ApiError { exception: Some(exception.into()), ..ApiError::bare("invalidTransaction") }
    }

    pub(crate) fn invalid_params(message: impl Into<String>) -> ApiError {
        ApiError::new("invalidParams", 31, message)
    }

    pub(crate) fn invalid_field(field: &str) -> ApiError {
        ApiError::invalid_params(format!("Invalid field '{field}'."))
    }

    pub(crate) fn missing_field(field: &str) -> ApiError {
        ApiError::invalid_params(format!("Missing field '{field}'."))
    }

    pub(crate) fn account_malformed() -> ApiError {
        ApiError::new("actMalformed", 35, "Account malformed.")
    }

    pub(crate) fn account_not_found() -> ApiError {
        ApiError::new("actNotFound", 19, "Account not found.")
    }

    pub(crate) fn ledger_not_found() -> ApiError {
        ApiError::new("lgrNotFound", 21, "ledgerNotFound")
    }

    pub(crate) fn no_permission() -> ApiError {
        ApiError::new("noPermission", 6, "You don't have permission for this command.")
    }

    pub(crate) fn no_signing() -> ApiError {
        ApiError::new("notSupported", 75, "Signing is not supported by this server.")
    }

    pub(crate) fn not_impl() -> ApiError {
        ApiError::new("notImpl", 74, "Not implemented.")
    }

    /// Parameters that cannot be, without a word on which.
    pub(crate) fn bad_params() -> ApiError {
        ApiError::invalid_params("Invalid parameters.")
    }

    pub(crate) fn expected_field(field: &str, kind: &str) -> ApiError {
        ApiError::invalid_params(format!("Invalid field '{field}', not {kind}."))
    }

    pub(crate) fn internal() -> ApiError {
        ApiError::new("internal", 73, "Internal error.")
    }

    /// The error with more fields beside it.
    pub(crate) fn with(mut self, more: Fields) -> ApiError {
        self.more.extend(more);
        self
    }

    pub(crate) fn into_fields(self) -> Fields {
        let mut fields = self.more;
        fields.insert("error".to_string(), json!(self.error));
        let mut put = |field: &str, value: Option<Json>| {
            if let Some(value) = value {
                fields.insert(field.to_string(), value);
            }
        };
        put("error_code", self.code.map(|code| json!(code)));
        put("error_message", self.message.map(|message| json!(message)));
        put("error_exception", self.exception.map(|exception| json!(exception)));
        fields
    }
}
