//! `componentize-c bindings WIT WORLD FOLDER` writes what a filter in C includes; `componentize-c component MODULE FILE` makes
//! a component of what the C compiler made. Elsewhere, `wit-bindgen c` and `wasm-tools component new` are the same.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use wit_bindgen_core::{Files, wit_parser::Resolve};
use wit_component::ComponentEncoder;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["bindings", wit, world, folder] => bindings(wit, world, folder.as_ref()),
        ["component", module, file] => component(module, file),
        _ => bail!("usage: componentize-c bindings WIT WORLD FOLDER | component MODULE FILE"),
    }
}

fn bindings(wit: &str, world: &str, folder: &Path) -> anyhow::Result<()> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some(world))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default()
        .build()
        .generate(&mut resolve, world, &mut files)?;
    for (name, content) in files.iter() {
        fs::write(folder.join(name), content).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(())
}

fn component(module: &str, file: &str) -> anyhow::Result<()> {
    let module = fs::read(module).with_context(|| format!("cannot read {module}"))?;
    let component = ComponentEncoder::default().validate(true).module(&module)?.encode()?;
    fs::write(file, component).with_context(|| format!("cannot write {file}"))
}
