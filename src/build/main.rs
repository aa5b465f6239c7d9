//! The build script: what the binary has to know that is in no source file. Cargo runs one for a package, so each
//! duty is a module here.

#[path = "../console/build.rs"]
mod console;

mod commit;

fn main() {
    println!("cargo:rerun-if-changed=src/build");
    commit::main();
    console::main();
}
