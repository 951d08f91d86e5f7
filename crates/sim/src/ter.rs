//! Transaction results: rippled's codes, tokens and messages (rippled 2.6.1, `TER.h`).

/// The result of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ter {
    /// `engine_result_code`.
    pub code: i32,
    /// `engine_result`.
    pub token: &'static str,
    /// `engine_result_message`.
    pub message: &'static str,
}

macro_rules! results {
    ($($name:ident = $code:literal, $token:literal, $message:literal;)*) => {
        impl Ter {
            $(
                #[doc = concat!("`", $token, "`: ", $message)]
                pub const $name: Ter = Ter { code: $code, token: $token, message: $message };
            )*
        }
    };
}

results! {
    SUCCESS = 0, "tesSUCCESS", "The transaction was applied. Only final in a validated ledger.";
    TEC_PATH_PARTIAL = 101, "tecPATH_PARTIAL", "Path could not send full amount.";
    TEC_UNFUNDED_OFFER = 103, "tecUNFUNDED_OFFER", "Insufficient balance to fund created offer.";
    TEC_UNFUNDED_PAYMENT = 104, "tecUNFUNDED_PAYMENT", "Insufficient XRP balance to send.";
    TEC_DIR_FULL = 121, "tecDIR_FULL", "Can not add entry to full directory.";
    TEC_INSUF_RESERVE_LINE = 122, "tecINSUF_RESERVE_LINE", "Insufficient reserve to add trust line.";
    TEC_INSUF_RESERVE_OFFER = 123, "tecINSUF_RESERVE_OFFER", "Insufficient reserve to create offer.";
    TEC_NO_DST = 124, "tecNO_DST", "Destination does not exist. Send XRP to create it.";
    TEC_NO_DST_INSUF_XRP = 125, "tecNO_DST_INSUF_XRP",
        "Destination does not exist. Too little XRP sent to create it.";
    TEC_NO_LINE_INSUF_RESERVE = 126, "tecNO_LINE_INSUF_RESERVE", "No such line. Too little reserve to create it.";
    TEC_NO_LINE_REDUNDANT = 127, "tecNO_LINE_REDUNDANT", "Can't set non-existent line to default.";
    TEC_PATH_DRY = 128, "tecPATH_DRY", "Path could not send partial amount.";
    TEC_NO_ALTERNATIVE_KEY = 130, "tecNO_ALTERNATIVE_KEY",
        "The operation would remove the ability to sign transactions with the account.";
    TEC_OWNERS = 132, "tecOWNERS", "Non-zero owner count.";
    TEC_NO_ISSUER = 133, "tecNO_ISSUER", "Issuer account does not exist.";
    TEC_NO_AUTH = 134, "tecNO_AUTH", "Not authorized to hold asset.";
    TEC_NO_LINE = 135, "tecNO_LINE", "No such line.";
    TEC_INSUFF_FEE = 136, "tecINSUFF_FEE", "Insufficient balance to pay fee.";
    TEC_FROZEN = 137, "tecFROZEN", "Asset is frozen.";
    TEC_NO_TARGET = 138, "tecNO_TARGET", "Target account does not exist.";
    TEC_NO_PERMISSION = 139, "tecNO_PERMISSION", "No permission to perform requested operation.";
    TEC_INSUFFICIENT_RESERVE = 141, "tecINSUFFICIENT_RESERVE",
        "Insufficient reserve to complete requested operation.";
    TEC_NEED_MASTER_KEY = 142, "tecNEED_MASTER_KEY", "The operation requires the use of the Master Key.";
    TEC_DST_TAG_NEEDED = 143, "tecDST_TAG_NEEDED", "A destination tag is required.";
    TEC_INTERNAL = 144, "tecINTERNAL", "An internal error has occurred during processing.";
    TEC_INVARIANT_FAILED = 147, "tecINVARIANT_FAILED",
        "One or more invariants for the transaction were not satisfied.";
    TEC_EXPIRED = 148, "tecEXPIRED", "Expiration time is passed.";
    TEC_DUPLICATE = 149, "tecDUPLICATE", "Ledger object already exists.";
    TEC_KILLED = 150, "tecKILLED", "No funds transferred and no offer created.";
    TEC_INSUFFICIENT_FUNDS = 159, "tecINSUFFICIENT_FUNDS", "Not enough funds available to complete requested transaction.";
    TEC_UNFUNDED_AMM = 162, "tecUNFUNDED_AMM", "Insufficient balance to fund AMM.";
    TEC_AMM_BALANCE = 163, "tecAMM_BALANCE", "AMM has invalid balance.";
    TEC_AMM_FAILED = 164, "tecAMM_FAILED", "AMM transaction failed.";
    TEC_AMM_INVALID_TOKENS = 165, "tecAMM_INVALID_TOKENS", "AMM invalid LP tokens.";
    TEC_AMM_EMPTY = 166, "tecAMM_EMPTY", "AMM is in empty state.";
    TEC_AMM_NOT_EMPTY = 167, "tecAMM_NOT_EMPTY", "AMM is not in empty state.";
    TEC_AMM_ACCOUNT = 168, "tecAMM_ACCOUNT", "This operation is not allowed on an AMM Account.";
    TEC_PSEUDO_ACCOUNT = 196, "tecPSEUDO_ACCOUNT", "This operation is not allowed against a pseudo-account.";
    TEF_BAD_AUTH = -196, "tefBAD_AUTH", "Transaction's public key is not authorized.";
    TEF_EXCEPTION = -193, "tefEXCEPTION", "Unexpected program state.";
    TEF_INTERNAL = -192, "tefINTERNAL", "Internal error.";
    TEF_NO_AUTH_REQUIRED = -191, "tefNO_AUTH_REQUIRED", "Auth is not required.";
    TEF_PAST_SEQ = -190, "tefPAST_SEQ", "This sequence number has already passed.";
    TEF_WRONG_PRIOR = -189, "tefWRONG_PRIOR", "This previous transaction does not match.";
    TEF_MASTER_DISABLED = -188, "tefMASTER_DISABLED", "Master key is disabled.";
    TEF_MAX_LEDGER = -187, "tefMAX_LEDGER", "Ledger sequence too high.";
    TEF_NO_TICKET = -180, "tefNO_TICKET", "Ticket is not in ledger.";
    TEL_BAD_DOMAIN = -398, "telBAD_DOMAIN", "Domain too long.";
    TEL_BAD_PATH_COUNT = -397, "telBAD_PATH_COUNT", "Malformed: Too many paths.";
    TEL_BAD_PUBLIC_KEY = -396, "telBAD_PUBLIC_KEY", "Public key is not valid.";
    TEL_FAILED_PROCESSING = -395, "telFAILED_PROCESSING", "Failed to correctly process transaction.";
    TEL_INSUF_FEE_P = -394, "telINSUF_FEE_P", "Fee insufficient.";
    TEL_NO_DST_PARTIAL = -393, "telNO_DST_PARTIAL", "Partial payment to create account not allowed.";
    TEL_CAN_NOT_QUEUE = -392, "telCAN_NOT_QUEUE", "Can not queue at this time.";
    TEL_CAN_NOT_QUEUE_BALANCE = -391, "telCAN_NOT_QUEUE_BALANCE",
        "Can not queue at this time: insufficient balance to pay all queued fees.";
    TEL_CAN_NOT_QUEUE_BLOCKS = -390, "telCAN_NOT_QUEUE_BLOCKS",
        "Can not queue at this time: would block later queued transaction(s).";
    TEL_CAN_NOT_QUEUE_BLOCKED = -389, "telCAN_NOT_QUEUE_BLOCKED",
        "Can not queue at this time: blocking transaction in queue.";
    TEL_CAN_NOT_QUEUE_FEE = -388, "telCAN_NOT_QUEUE_FEE",
        "Can not queue at this time: fee insufficient to replace queued transaction.";
    TEL_CAN_NOT_QUEUE_FULL = -387, "telCAN_NOT_QUEUE_FULL", "Can not queue at this time: queue is full.";
    TEL_WRONG_NETWORK = -386, "telWRONG_NETWORK",
        "Transaction specifies a Network ID that differs from that of the local node.";
    TEL_REQUIRES_NETWORK_ID = -385, "telREQUIRES_NETWORK_ID",
        "Transactions submitted to this node/network must include a correct NetworkID field.";
    TEL_NETWORK_ID_MAKES_TX_NON_CANONICAL = -384, "telNETWORK_ID_MAKES_TX_NON_CANONICAL",
        "Transactions submitted to this node/network must NOT include a NetworkID field.";
    TEM_MALFORMED = -299, "temMALFORMED", "Malformed transaction.";
    TEM_BAD_AMOUNT = -298, "temBAD_AMOUNT", "Malformed: Bad amount.";
    TEM_BAD_CURRENCY = -297, "temBAD_CURRENCY", "Malformed: Bad currency.";
    TEM_BAD_EXPIRATION = -296, "temBAD_EXPIRATION", "Malformed: Bad expiration.";
    TEM_BAD_FEE = -295, "temBAD_FEE", "Invalid fee, negative or not XRP.";
    TEM_BAD_LIMIT = -293, "temBAD_LIMIT", "Limits must be non-negative.";
    TEM_BAD_OFFER = -292, "temBAD_OFFER", "Malformed: Bad offer.";
    TEM_BAD_PATH = -291, "temBAD_PATH", "Malformed: Bad path.";
    TEM_BAD_PATH_LOOP = -290, "temBAD_PATH_LOOP", "Malformed: Loop in path.";
    TEM_BAD_REGKEY = -289, "temBAD_REGKEY", "Malformed: Regular key cannot be same as master key.";
    TEM_BAD_SEND_XRP_LIMIT = -288, "temBAD_SEND_XRP_LIMIT", "Malformed: Limit quality is not allowed for XRP to XRP.";
    TEM_BAD_SEND_XRP_MAX = -287, "temBAD_SEND_XRP_MAX", "Malformed: Send max is not allowed for XRP to XRP.";
    TEM_BAD_SEND_XRP_NO_DIRECT = -286, "temBAD_SEND_XRP_NO_DIRECT",
        "Malformed: No Ripple direct is not allowed for XRP to XRP.";
    TEM_BAD_SEND_XRP_PARTIAL = -285, "temBAD_SEND_XRP_PARTIAL",
        "Malformed: Partial payment is not allowed for XRP to XRP.";
    TEM_BAD_SEND_XRP_PATHS = -284, "temBAD_SEND_XRP_PATHS", "Malformed: Paths are not allowed for XRP to XRP.";
    TEM_BAD_SEQUENCE = -283, "temBAD_SEQUENCE", "Malformed: Sequence is not in the past.";
    TEM_BAD_SRC_ACCOUNT = -281, "temBAD_SRC_ACCOUNT", "Malformed: Bad source account.";
    TEM_BAD_TRANSFER_RATE = -280, "temBAD_TRANSFER_RATE", "Malformed: Transfer rate must be >= 1.0 and <= 2.0";
    TEM_DST_IS_SRC = -279, "temDST_IS_SRC", "Destination may not be source.";
    TEM_DST_NEEDED = -278, "temDST_NEEDED", "Destination not specified.";
    TEM_INVALID = -277, "temINVALID", "The transaction is ill-formed.";
    TEM_INVALID_FLAG = -276, "temINVALID_FLAG", "The transaction has an invalid flag.";
    TEM_REDUNDANT = -275, "temREDUNDANT", "The transaction is redundant.";
    TEM_RIPPLE_EMPTY = -274, "temRIPPLE_EMPTY", "PathSet with no paths.";
    TEM_DISABLED = -273, "temDISABLED", "The transaction requires logic that is currently disabled.";
    TEM_BAD_TICK_SIZE = -269, "temBAD_TICK_SIZE", "Malformed: Tick size out of range.";
    TEM_INVALID_COUNT = -266, "temINVALID_COUNT", "Malformed: Count field outside valid range.";
    TEM_SEQ_AND_TICKET = -263, "temSEQ_AND_TICKET", "Transaction contains a TicketSequence and a non-zero Sequence.";
    TEM_BAD_AMM_TOKENS = -261, "temBAD_AMM_TOKENS", "Malformed: Invalid LPTokens.";
    TER_INSUF_FEE_B = -97, "terINSUF_FEE_B", "Account balance can't pay fee.";
    TER_NO_ACCOUNT = -96, "terNO_ACCOUNT", "The source account does not exist.";
    TER_NO_AUTH = -95, "terNO_AUTH", "Not authorized to hold IOUs.";
    TER_NO_LINE = -94, "terNO_LINE", "No such line.";
    TER_OWNERS = -93, "terOWNERS", "Non-zero owner count.";
    TER_PRE_SEQ = -92, "terPRE_SEQ", "Missing/inapplicable prior transaction.";
    TER_NO_RIPPLE = -90, "terNO_RIPPLE", "Path does not permit rippling.";
    TER_QUEUED = -89, "terQUEUED", "Held until escalated fee drops.";
    TER_PRE_TICKET = -88, "terPRE_TICKET", "Ticket is not yet in ledger.";
    TER_NO_AMM = -87, "terNO_AMM", "AMM doesn't exist for the asset pair.";
}

impl Ter {
    /// True for tesSUCCESS.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.code == 0
    }

    /// True for a tec: the fee and the sequence are taken, nothing else happens.
    #[must_use]
    pub const fn is_claim(self) -> bool {
        self.code >= 100
    }

    /// True for a tem: the transaction can never go in.
    #[must_use]
    pub const fn is_malformed(self) -> bool {
        self.code >= -299 && self.code < -199
    }

    /// True for a tel: this node alone did not want it.
    #[must_use]
    pub const fn is_local(self) -> bool {
        self.code >= -399 && self.code < -299
    }

    /// True for a tef: it cannot go in as the ledger is.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        self.code >= -199 && self.code < -99
    }

    /// True for a ter: it may go in later.
    #[must_use]
    pub const fn is_retry(self) -> bool {
        self.code > -100 && self.code < 0
    }
}
