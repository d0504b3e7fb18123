//! The ClientHello, as a stream of records and as a message that we put into records.

#![no_main]

use libfuzzer_sys::fuzz_target;
use spliceway_fuzz::laws;

fuzz_target!(|bytes: &[u8]| {
    laws::bytes_are_read_the_same_however_they_come(bytes);
    laws::a_message_is_read_the_same_in_any_records(bytes);
});
