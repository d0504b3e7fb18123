//! How protocols begin.

#![no_main]

use libfuzzer_sys::fuzz_target;
use spliceway_fuzz::laws;

fuzz_target!(|bytes: &[u8]| laws::answers_stand(bytes));
