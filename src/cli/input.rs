//! Files that a person names, or stdin.

use crate::cli::failure::Failure;
use crate::cli::terminal::visible;
use anyhow::anyhow;
use std::fmt;
use std::fs::File;
use std::io::{Read, stdin};
use std::path::PathBuf;
use std::str::FromStr;

/// A file, or stdin, which is written `-`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// What the shell pipes in.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl FromStr for Input {
    type Err = std::convert::Infallible;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(if name == "-" { Self::Stdin } else { Self::File(name.into()) })
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("stdin"),
            Self::File(path) => f.write_str(&visible(&path.to_string_lossy())),
        }
    }
}

impl Input {
    /// Reads it whole.
    ///
    /// # Errors
    /// When it cannot be read, or is larger than `max` bytes.
    pub fn read(&self, max: usize) -> Result<Vec<u8>, Failure> {
        let read = match self {
            Self::Stdin => read_at_most(stdin().lock(), max),
            Self::File(path) => File::open(path).and_then(|file| read_at_most(file, max)),
        };
        let bytes = read.map_err(|cause| anyhow!("{self}: cannot be read: {cause}"))?;
        if bytes.len() > max {
            return Err(anyhow!("{self}: is larger than {max} bytes").into());
        }
        Ok(bytes)
    }
}

/// Reads one byte more than `max`, if there is one.
fn read_at_most(from: impl Read, max: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_is_stdin_and_all_else_a_file() {
        assert_eq!("-".parse(), Ok(Input::Stdin));
        assert_eq!("./-".parse(), Ok(Input::File("./-".into())));
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, "1234").unwrap();
        let input = Input::File(path);
        assert_eq!(input.read(4).unwrap(), b"1234");
        assert!(input.read(3).unwrap_err().to_string().ends_with("a.json: is larger than 3 bytes"));
    }
}
