//! Build script of pidlock and waithealth: makes their static release build small. One waits beside
//! its COMMAND for long, the other is copied into images that hold nothing else.

fn main() {
    println!("cargo::rerun-if-changed=../scripts/link/static.ld");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let features = variable("CARGO_CFG_TARGET_FEATURE");
    let is_static = features.split(',').any(|feature| feature == "crt-static");
    let is_tried = variable("CARGO_CFG_TARGET_ARCH") == "x86_64"
        && variable("CARGO_CFG_TARGET_ENV") == "gnu"
        && variable("HOST") == variable("TARGET");
    if !(is_static && is_tried && variable("PROFILE") == "release") {
        return;
    }
    let link = |options: &str| println!("cargo::rustc-link-arg-bins=-Wl,{options}");
    // The tables for unwinding are a twelfth of the file.
    let script = variable("CARGO_MANIFEST_DIR") + "/../scripts/link/static.ld";
    link(&format!("--no-eh-frame-hdr,-T,{script}"));
    // Cargo forgets the profile's `strip` for a package with an `opt-level` of its own.
    link("--strip-all");
}
