//! Builds a list into the filter: `IP_REPUTATION_LIST=/etc/deny.txt cargo build ...`. None where that is not set.

use std::path::Path;
use std::{env, error, fs};

fn main() -> Result<(), Box<dyn error::Error>> {
    println!("cargo::rerun-if-env-changed=IP_REPUTATION_LIST");
    let list = match env::var("IP_REPUTATION_LIST") {
        Ok(path) => {
            println!("cargo::rerun-if-changed={path}");
            fs::read_to_string(&path).map_err(|error| format!("IP_REPUTATION_LIST={path}: {error}"))?
        }
        Err(_) => String::new(),
    };
    fs::write(Path::new(&env::var("OUT_DIR")?).join("built-in.txt"), list)?;
    Ok(())
}
