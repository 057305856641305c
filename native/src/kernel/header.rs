//! The header of a safetensors file, read without its data and validated wholly before it is used.

use super::fault::{Fault, FaultKind};
use super::hash::file_fault;
use safetensors::tensor::Metadata;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest header accepted, in bytes (the limit of the reference implementation).
const LARGEST_HEADER: u64 = 100_000_000;
const LENGTH_BYTES: u64 = 8;

/// One tensor of a header: `begin..end` counts bytes from the start of the data region.
#[derive(Debug, PartialEq, Eq)]
pub struct TensorEntry {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<usize>,
    pub begin: usize,
    pub end: usize,
}

/// A validated header. `data_offset` is the position of the data region in the file.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    /// Free text pairs of the file, sorted by key.
    pub metadata: Vec<(String, String)>,
    /// Sorted by offset; together they cover the data region exactly.
    pub tensors: Vec<TensorEntry>,
    pub data_offset: u64,
}

/// Reads and validates the header of a file; of the data only the length is looked at.
pub fn read_header_file(path: &Path) -> Result<Header, Fault> {
    let mut file = File::open(path).map_err(|error| file_fault(path, &error))?;
    let file_length = file.metadata().map_err(|error| file_fault(path, &error))?.len();
    let mut length_bytes = [0; LENGTH_BYTES as usize];
    if file_length < LENGTH_BYTES {
        return Err(malformed(format!("the file has {file_length} bytes, too few for a header")));
    }
    file.read_exact(&mut length_bytes).map_err(|error| file_fault(path, &error))?;
    let length = header_length(length_bytes, file_length)?;
    let mut header = vec![0; length as usize];
    file.read_exact(&mut header).map_err(|error| file_fault(path, &error))?;
    parse_header(&header, file_length)
}

/// Validates the header at the start of `bytes`, which may be a prefix of a file of `file_length` bytes.
pub fn read_header_bytes(bytes: &[u8], file_length: u64) -> Result<Header, Fault> {
    let Some((length_bytes, rest)) = bytes.split_first_chunk::<{ LENGTH_BYTES as usize }>() else {
        return Err(malformed(format!("{} bytes are too few for a header", bytes.len())));
    };
    let length = header_length(*length_bytes, file_length)? as usize;
    let Some(header) = rest.get(..length) else {
        return Err(malformed(format!("the header takes {length} bytes, {} were given", rest.len())));
    };
    parse_header(header, file_length)
}

fn header_length(bytes: [u8; 8], file_length: u64) -> Result<u64, Fault> {
    let length = u64::from_le_bytes(bytes);
    if length > LARGEST_HEADER {
        return Err(malformed(format!("header too large: {length} bytes, at most {LARGEST_HEADER} are accepted")));
    }
    if LENGTH_BYTES + length > file_length {
        return Err(malformed(format!(
            "invalid header length: {length} bytes in a file of {file_length}; the file was cut short or is no safetensors file"
        )));
    }
    Ok(length)
}

fn parse_header(header: &[u8], file_length: u64) -> Result<Header, Fault> {
    let text = std::str::from_utf8(header).map_err(|error| malformed(format!("invalid UTF-8 in header: {error}")))?;
    let repeated: RepeatedKey =
        serde_json::from_str(text).map_err(|error| malformed(format!("invalid JSON in header: {error}")))?;
    if let Some(name) = repeated.0 {
        return Err(malformed(format!("the name `{name}` occurs twice in the header")));
    }
    let validated: Metadata = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    let data_offset = LENGTH_BYTES + header.len() as u64;
    let expected = data_offset + validated.data_len() as u64;
    if expected != file_length {
        return Err(malformed(format!(
            "incomplete metadata, file not fully covered: the tensors end at byte {expected}, the file at {file_length}"
        )));
    }
    let mut metadata: Vec<(String, String)> =
        validated.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    metadata.sort();
    let tensors = validated
        .offset_keys()
        .into_iter()
        .filter_map(|name| {
            let info = validated.info(&name)?;
            let (begin, end) = info.data_offsets;
            Some(TensorEntry { dtype: info.dtype.to_string(), shape: info.shape.clone(), begin, end, name })
        })
        .collect();
    Ok(Header { metadata, tensors, data_offset })
}

fn malformed(message: String) -> Fault {
    Fault::new(FaultKind::Malformed, message)
}

/// The first key that a JSON object has twice; a map would keep the last one silently.
struct RepeatedKey(Option<String>);

impl<'de> serde::Deserialize<'de> for RepeatedKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RepeatedKeyVisitor)
    }
}

struct RepeatedKeyVisitor;

impl<'de> Visitor<'de> for RepeatedKeyVisitor {
    type Value = RepeatedKey;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("an object with one entry per tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RepeatedKey, A::Error> {
        let mut seen = HashSet::new();
        let mut repeated = None;
        while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
            if repeated.is_none() && seen.contains(&key) {
                repeated = Some(key);
            } else {
                seen.insert(key);
            }
        }
        Ok(RepeatedKey(repeated))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn read(header: &str, data: usize) -> Result<Header, Fault> {
        let bytes = file(header, data);
        read_header_bytes(&bytes, bytes.len() as u64)
    }

    fn message(header: &str, data: usize) -> String {
        let fault = read(header, data).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Malformed);
        fault.message
    }

    #[test]
    fn a_good_header_gives_tensors_in_the_order_of_their_bytes() {
        let text = r#"{"b":{"dtype":"F32","shape":[2,2],"data_offsets":[4,20]},"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"__metadata__":{"z":"1","format":"pt"}}"#;
        let header = read(text, 20).unwrap();
        assert_eq!(header.data_offset, 8 + text.len() as u64);
        assert_eq!(header.metadata, [("format".into(), "pt".into()), ("z".into(), "1".into())]);
        let names: Vec<&str> = header.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(header.tensors[1].shape, [2, 2]);
        assert_eq!((header.tensors[1].begin, header.tensors[1].end), (4, 20));
    }

    #[test]
    fn every_lie_of_a_header_is_told_apart() {
        let hole = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
        assert!(message(hole, 8).contains("invalid offset for tensor `a`"));
        let overlap = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
        assert!(message(overlap, 8).contains("invalid offset for tensor `b`"));
        let short = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
        assert!(message(short, 7).contains("not fully covered"));
        assert!(message(short, 9).contains("not fully covered"));
        let shape = r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#;
        assert!(message(shape, 8).contains("invalid shape"));
        let overflow = r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,8]}}"#;
        assert!(message(overflow, 8).contains("overflow"));
        let twice = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
        assert!(message(twice, 4).contains("`a` occurs twice"));
        let dtype = r#"{"a":{"dtype":"Q7","shape":[1],"data_offsets":[0,4]}}"#;
        assert!(message(dtype, 4).contains("Q7"));
        assert!(message("[1]", 0).contains("invalid JSON"));
        assert!(message("{", 0).contains("invalid JSON"));
    }

    #[test]
    fn lengths_beyond_the_file_or_the_limit_are_refused() {
        let mut bytes = file("{}", 0);
        bytes[0] = 3;
        assert!(read_header_bytes(&bytes, bytes.len() as u64).unwrap_err().message.contains("invalid header length"));
        bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(read_header_bytes(&bytes, bytes.len() as u64).unwrap_err().message.contains("too large"));
        assert!(read_header_bytes(&bytes[..5], 5).is_err());
    }

    #[test]
    fn an_empty_file_of_tensors_is_fine() {
        assert_eq!(read("{}", 0).unwrap(), Header { metadata: vec![], tensors: vec![], data_offset: 10 });
    }
}
