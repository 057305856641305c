use super::work::{JobControl, Work, at_once, in_background};
use crate::kernel::hash;
use crate::kernel::header::{self, Header};
use napi::bindgen_prelude::AsyncTask;
use napi_derive::napi;
use std::path::PathBuf;

#[napi]
pub fn hash_bytes(bytes: &[u8]) -> napi::Result<String> {
    at_once(|| Ok(hash::hash_bytes(bytes)))
}

#[napi]
pub fn hash_file(path: String, control: &JobControl) -> AsyncTask<Work<String>> {
    let control = control.shared();
    in_background(move || hash::hash_file(&PathBuf::from(path), &control))
}

/// An incremental BLAKE3.
#[napi(js_name = "Hasher")]
#[derive(Default)]
pub struct IncrementalHasher {
    hasher: blake3::Hasher,
}

#[napi]
impl IncrementalHasher {
    #[napi(constructor)]
    pub fn new() -> Self {
        IncrementalHasher::default()
    }

    #[napi]
    pub fn update(&mut self, bytes: &[u8]) -> napi::Result<()> {
        at_once(|| {
            hash::update(&mut self.hasher, bytes);
            Ok(())
        })
    }

    #[napi]
    pub fn hex(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

/// One tensor of a safetensors header.
#[napi(object)]
pub struct HeaderTensor {
    pub name: String,
    pub dtype: String,
    pub shape: Vec<f64>,
    pub begin: f64,
    pub end: f64,
}

/// A validated safetensors header.
#[napi(object)]
pub struct SafetensorsHeader {
    pub metadata: Vec<(String, String)>,
    pub tensors: Vec<HeaderTensor>,
    pub data_offset: f64,
}

impl From<Header> for SafetensorsHeader {
    fn from(header: Header) -> Self {
        let tensors = header.tensors.into_iter().map(|tensor| HeaderTensor {
            name: tensor.name,
            dtype: tensor.dtype,
            shape: tensor.shape.into_iter().map(|size| size as f64).collect(),
            begin: tensor.begin as f64,
            end: tensor.end as f64,
        });
        SafetensorsHeader {
            metadata: header.metadata,
            tensors: tensors.collect(),
            data_offset: header.data_offset as f64,
        }
    }
}

#[napi]
pub fn read_safetensors_header_file(path: String) -> napi::Result<SafetensorsHeader> {
    at_once(|| header::read_header_file(&PathBuf::from(path)).map(Into::into))
}

#[napi]
pub fn read_safetensors_header_bytes(bytes: &[u8], file_length: f64) -> napi::Result<SafetensorsHeader> {
    at_once(|| header::read_header_bytes(bytes, file_length as u64).map(Into::into))
}
