//! Object store transfers: download and unpack, pack and upload.
