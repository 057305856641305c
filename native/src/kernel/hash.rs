//! BLAKE3 of bytes and of files.

use super::control::Control;
use super::fault::{Fault, FaultKind};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Bytes read at a time; two such buffers are alive while a file is hashed.
const CHUNK: usize = 8 << 20;

/// Below this many bytes a single thread is faster.
const PARALLEL_FROM: usize = 256 << 10;

/// Feeds bytes to a hasher, with the current thread pool where that pays.
pub fn update(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    if bytes.len() < PARALLEL_FROM {
        hasher.update(bytes);
    } else {
        hasher.update_rayon(bytes);
    }
}

/// The hash of bytes in lower-case hexadecimal, 64 characters.
pub fn hash_bytes(bytes: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    update(&mut hasher, bytes);
    hasher.finalize().to_hex().to_string()
}

/// The hash of a file, read in chunks while the previous chunk is hashed.
pub fn hash_file(path: &Path, control: &Control) -> Result<String, Fault> {
    let mut file = File::open(path).map_err(|error| file_fault(path, &error))?;
    let total = file.metadata().map_err(|error| file_fault(path, &error))?.len();
    control.begin(total);
    let mut hasher = blake3::Hasher::new();
    let mut current = vec![0; CHUNK];
    let mut next = vec![0; CHUNK];
    let mut filled = read_full(&mut file, &mut current).map_err(|error| file_fault(path, &error))?;
    while filled > 0 {
        let (read, ()) = rayon::join(|| read_full(&mut file, &mut next), || update(&mut hasher, &current[..filled]));
        control.advance(filled as u64)?;
        filled = read.map_err(|error| file_fault(path, &error))?;
        std::mem::swap(&mut current, &mut next);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Reads until the buffer is full or the file ends; the number of bytes read.
fn read_full(file: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A fault for trouble with a file, with its path.
pub fn file_fault(path: &Path, error: &std::io::Error) -> Fault {
    let kind = if error.kind() == ErrorKind::NotFound { FaultKind::NotFound } else { FaultKind::Resource };
    Fault::new(kind, format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_hash_is_the_published_one() {
        assert_eq!(hash_bytes(&[]), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
    }

    #[test]
    fn a_file_hashes_like_its_bytes_around_the_chunk_size() {
        let folder = std::env::temp_dir().join(format!("modelpress-hash-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for length in [0, 1, 1000, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17] {
            let bytes: Vec<u8> = (0..length).map(|index| (index * 31 + index / 251) as u8).collect();
            let path = folder.join(length.to_string());
            std::fs::write(&path, &bytes).unwrap();
            let control = Control::default();
            assert_eq!(hash_file(&path, &control).unwrap(), blake3::hash(&bytes).to_hex().to_string(), "{length}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_missing_file_is_a_not_found_fault_that_names_it() {
        let fault = hash_file(Path::new("no/such/file"), &Control::default()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::NotFound);
        assert!(fault.message.contains("no/such/file"));
    }

    #[test]
    fn a_stop_is_honoured() {
        let path = std::env::temp_dir().join(format!("modelpress-stop-{}", std::process::id()));
        std::fs::write(&path, [0; 100]).unwrap();
        let control = Control::default();
        control.stop();
        assert_eq!(hash_file(&path, &control).unwrap_err(), Fault::interrupted());
        std::fs::remove_file(&path).unwrap();
    }
}
