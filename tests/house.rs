//! Keeps the house as `src/lib.rs` draws it: a floor uses only itself and the floors below.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns the floors, from the ground up.
fn floors() -> Vec<String> {
    let lib = fs::read_to_string("src/lib.rs").unwrap();
    let floor = |line: &str| Some(line.strip_prefix("pub mod ")?.strip_suffix(';')?.to_owned());
    lib.lines().filter_map(floor).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Returns every source file with the name of its floor.
fn rooms() -> Vec<(PathBuf, String)> {
    let floor_of = |path: &Path| {
        let first = path.strip_prefix("src").unwrap().components().next().unwrap();
        first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
    };
    let files = rust_files(Path::new("src")).into_iter();
    files.map(|path| (path.clone(), floor_of(&path))).collect()
}

/// Returns the first names of all paths that begin with `crate::`, outside comments. Macros have no floor.
fn used(text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let name = |rest: &str| {
        let (name, rest) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
        (!rest.starts_with('!')).then(|| name.to_owned())
    };
    code.flat_map(|line| line.split("crate::").skip(1)).filter_map(name).collect()
}

#[test]
fn a_floor_uses_only_the_floors_below() {
    let floors = floors();
    assert!(floors.len() >= 10, "{floors:?}");
    let height = |floor: &str| floors.iter().position(|name| name == floor);
    let mut looked_at = 0;
    for (path, floor) in rooms() {
        let Some(own) = height(&floor) else { continue }; // lib.rs and main.rs
        looked_at += 1;
        for other in used(&fs::read_to_string(&path).unwrap()) {
            let below = height(&other).is_some_and(|other| other <= own);
            assert!(below, "{} uses {other}, which is above it or no floor", path.display());
        }
    }
    assert!(looked_at > 30);
}

#[test]
fn the_rules_are_pure() {
    const IMPURE: [&str; 9] =
        ["async ", "tokio", "tonic", "std::fs", "std::io", "std::net", "std::env", "tracing", "Utc::now"];
    for (path, floor) in rooms() {
        if floor == "domain" {
            let text = fs::read_to_string(&path).unwrap();
            let found = IMPURE.iter().find(|word| text.contains(*word));
            assert_eq!(found, None, "{}", path.display());
        }
    }
}

#[test]
fn the_transport_asks_the_engine_and_never_the_store() {
    for (path, floor) in rooms() {
        if matches!(floor.as_str(), "grpc" | "http" | "delivery") {
            let text = fs::read_to_string(&path).unwrap();
            let used = used(text.split("#[cfg(test)]").next().unwrap()); // Its tests have to put a store together.
            assert!(!used.contains(&"store".to_owned()), "{}", path.display());
        }
    }
}

#[test]
fn every_room_has_a_name_of_the_field() {
    const NAMELESS: [&str; 6] = ["utils", "common", "types", "models", "handlers", "manager"];
    for (path, _) in rooms() {
        let is_nameless = |part: &str| NAMELESS.contains(&part.trim_end_matches(".rs"));
        assert!(!path.iter().any(|part| is_nameless(&part.to_string_lossy())), "{}", path.display());
    }
}
