//! What processes tell each other before anything else, and whether they fit together.
//!
//! ```text
//! "FLTPEER\n" │ length (4 bytes, little-endian) │ hello (JSON)
//! ```

use std::{
    fmt,
    io::{self, Read, Write},
};

use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"FLTPEER\n";
/// No hello comes near it.
const LONGEST: u32 = 64 << 10;

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Which one, from 0.
    pub process: usize,
    /// Of how many.
    pub processes: usize,
    /// Its worker threads.
    pub workers: usize,
    /// The program's version.
    pub program: String,
    /// A hash of what of its configuration must be the same everywhere.
    pub configuration: String,
    /// The version of its catalog.
    pub catalog: String,
}

/// How two processes differ that cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    what: &'static str,
    ours: String,
    theirs: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, ours, theirs } = self;
        write!(f, "its {what} is {theirs}, ours is {ours}; start all processes with the same")
    }
}

impl Hello {
    /// What keeps another process from being of the same cluster, which says that it is `process`.
    ///
    /// # Errors
    /// The first that differs.
    pub fn check(&self, other: &Self, process: Option<usize>) -> Result<(), Mismatch> {
        let number = process.unwrap_or(other.process);
        let theirs = [
            ("number", number.to_string(), other.process.to_string()),
            ("number of processes", self.processes.to_string(), other.processes.to_string()),
            ("number of workers", self.workers.to_string(), other.workers.to_string()),
            ("version of the program", self.program.clone(), other.program.clone()),
            ("configuration", self.configuration.clone(), other.configuration.clone()),
            ("catalog", self.catalog.clone(), other.catalog.clone()),
        ];
        match theirs.into_iter().find(|(_, ours, theirs)| ours != theirs) {
            Some((what, ours, theirs)) => Err(Mismatch { what, ours, theirs }),
            None => Ok(()),
        }
    }

    /// Tells it.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn send(&self, to: &mut impl Write) -> io::Result<()> {
        let json = serde_json::to_vec(self)?;
        let length = u32::try_from(json.len()).map_err(io::Error::other)?;
        to.write_all(&[MAGIC.as_slice(), &length.to_le_bytes(), &json].concat())?;
        to.flush()
    }

    /// Hears it.
    ///
    /// # Errors
    /// The connection is gone, or who is there does not speak like a process of a cluster.
    pub fn receive(from: &mut impl Read) -> io::Result<Self> {
        let stranger =
            |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("no process of a cluster: {what}"));
        let (mut magic, mut length) = ([0; 8], [0; 4]);
        from.read_exact(&mut magic)?;
        if magic != *MAGIC {
            return Err(stranger("it begins otherwise"));
        }
        from.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > LONGEST {
            return Err(stranger("its hello is too long"));
        }
        let mut json = vec![0; length as usize];
        from.read_exact(&mut json)?;
        serde_json::from_slice(&json).map_err(|error| stranger(&error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hello(process: usize) -> Hello {
        Hello {
            process,
            processes: 2,
            workers: 4,
            program: "0.1.0".to_owned(),
            configuration: "aa".to_owned(),
            catalog: "bb".to_owned(),
        }
    }

    #[test]
    fn what_differs_is_named() {
        let (ours, theirs) = (hello(0), hello(1));
        assert_eq!(ours.check(&theirs, Some(1)), Ok(()));
        assert!(ours.check(&theirs, Some(0)).unwrap_err().to_string().contains("its number is 1, ours is 0"));
        let other = Hello { catalog: "cc".to_owned(), ..hello(1) };
        assert!(ours.check(&other, None).unwrap_err().to_string().contains("its catalog is cc, ours is bb"));
        let other = Hello { workers: 1, ..hello(1) };
        assert!(ours.check(&other, None).unwrap_err().to_string().contains("its number of workers is 1, ours is 4"));
    }

    #[test]
    fn what_is_told_is_heard() {
        let mut wire = Vec::new();
        hello(1).send(&mut wire).unwrap();
        assert_eq!(Hello::receive(&mut wire.as_slice()).unwrap(), hello(1));
    }

    proptest! {
        #[test]
        fn fuzz_strangers_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(Hello::receive(&mut bytes.as_slice()).is_err());
            let with_magic = [MAGIC.as_slice(), &bytes].concat();
            prop_assert!(Hello::receive(&mut with_magic.as_slice()).is_err());
        }
    }
}
