//! The slim build, made with `--no-default-features`.
#![cfg(not(feature = "tls"))]

use crate::kit::waithealth;

#[test]
fn without_tls_an_https_target_is_wrong_usage() {
    let ran = waithealth(["file:///", "https://localhost/"]).run();
    let said = "waithealth: https://localhost/: built without TLS (see waithealth --help)\n";
    ran.expect_code(125).expect_stdout("").expect_stderr(said);
}
