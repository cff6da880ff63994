//! Both ends of a lab by the crate etsi014-client. It is built by `tools/setup`, outside the
//! workspace: that crate brings OpenSSL, which must not come near ours.
//!
//! Arguments: the authority, then for each of two ends port, SAE ID, certificate, key.

use etsi014_client::ETSI014Client;
use std::path::PathBuf;

struct End {
    sae: String,
    client: ETSI014Client,
}

fn end(arguments: &[String], ca: &PathBuf) -> End {
    let [port, sae, certificate, key] = arguments else { panic!("four arguments for each end") };
    let (certificate, key) = (PathBuf::from(certificate), PathBuf::from(key));
    let port = port.parse().unwrap();
    let client = ETSI014Client::new("127.0.0.1", port, &certificate, &key, ca).unwrap();
    End { sae: sae.clone(), client }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (ca, ends) = arguments.split_first().unwrap();
    let ca = PathBuf::from(ca);
    let (master, slave) = (end(&ends[..4], &ca), end(&ends[4..], &ca));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let status = master.client.get_status(&slave.sae).await.unwrap();
        assert_eq!((status.max_key_per_request, status.max_key_size), (128, 1024));
        assert_eq!(status.source_sae_id, master.sae);
        let fresh = master.client.get_keys(1024, &slave.sae, &[], 128).await.unwrap();
        let ids: Vec<&str> = fresh.iter().map(|(id, _)| id.as_str()).collect();
        let named = slave.client.get_keys_by_ids(&master.sae, &ids).await.unwrap();
        assert_eq!(named.len(), 128);
        for ((id, key), (named_id, named_key)) in fresh.iter().zip(&named) {
            assert_eq!((id, key.borrow().len()), (named_id, 128));
            assert!(*key.borrow() == *named_key.borrow(), "{id}");
        }
        let again = slave.client.get_keys_by_ids(&master.sae, &ids).await;
        assert!(again.is_err(), "keys were delivered twice");
        println!("the same {} keys", named.len());
    });
}
