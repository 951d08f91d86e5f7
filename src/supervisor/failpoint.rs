//! Faults injected on purpose, so that tests can break one stop stage of the real binary. Release builds have none.

use neo_store::record::Stage;

/// The variable that names the stage to break.
#[cfg(debug_assertions)]
const VARIABLE: &str = "FAIL_STOP_STAGE";

/// Fails when the environment asks for it.
///
/// # Errors
/// The injected error.
#[cfg(debug_assertions)]
pub fn hit(stage: Stage) -> Result<(), String> {
    match std::env::var(VARIABLE) {
        Ok(wanted) if wanted == stage.as_str() => Err(format!("injected by {VARIABLE}")),
        _ => Ok(()),
    }
}

/// Release builds inject nothing.
///
/// # Errors
/// Never.
#[cfg(not(debug_assertions))]
pub fn hit(_: Stage) -> Result<(), String> {
    Ok(())
}
