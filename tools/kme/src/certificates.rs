//! A tiny certification authority, and who its certificates belong to.

use crate::folder::{self, Folder, Readers};
use crate::lab::LabError;
use crate::setup::{LabSetup, NodeSetup};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use std::path::{Path, PathBuf};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

/// Makes what is missing: the authority, a certificate for each KME and for each application.
///
/// `before` is the set-up of the last start: a KME that has moved gets a new certificate.
///
/// # Errors
/// [`LabError`] where the folder can't be read or written, or its authority makes no sense.
pub(crate) fn make_missing(
    folder: &Folder,
    setup: &LabSetup,
    before: Option<&LabSetup>,
) -> Result<(), LabError> {
    let (authority, is_new) = authority(folder)?;
    for node in &setup.nodes {
        let files = folder.node(&node.name);
        let was_at =
            |old: &NodeSetup| old.name == node.name && old.address.ip() == node.address.ip();
        let has_moved = !before.is_some_and(|setup| setup.nodes.iter().any(was_at));
        if is_new || has_moved || !are_there(&files) {
            let hosts = hosts(node);
            issue(&authority, &files, &node.name, hosts, ExtendedKeyUsagePurpose::ServerAuth)?;
        }
    }
    for sae in &setup.saes {
        let files = folder.sae(&sae.name);
        if is_new || !are_there(&files) {
            let usage = ExtendedKeyUsagePurpose::ClientAuth;
            issue(&authority, &files, &sae.name, Vec::new(), usage)?;
        }
    }
    Ok(())
}

/// The common name of a certificate's subject, where there is exactly one.
pub(crate) fn common_name(certificate_der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate_der).ok()?;
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?.to_owned();
    names.next().is_none().then_some(name)
}

type Authority = Issuer<'static, KeyPair>;

/// The authority of the folder, and whether it was made just now. Its certificate is written last:
/// where that is there, so is its key.
fn authority(folder: &Folder) -> Result<(Authority, bool), LabError> {
    let (certificate_path, key_path) = folder.ca();
    let certificate = folder::read(&certificate_path)?;
    let key = folder::read(&key_path)?.map(Zeroizing::new);
    if let (Some(certificate), Some(key)) = (certificate, key) {
        let wrong = |source| LabError::Certificate { path: certificate_path.clone(), source };
        let key = KeyPair::from_pem(&key).map_err(wrong)?;
        return Ok((Issuer::from_ca_cert_pem(&certificate, key).map_err(wrong)?, false));
    }
    let wrong = |source| LabError::Certificate { path: certificate_path.clone(), source };
    let key = KeyPair::generate().map_err(wrong)?;
    let mut params = params("warifu-kme lab CA", Vec::new()).map_err(wrong)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = false;
    let certificate = params.self_signed(&key).map_err(wrong)?;
    folder::remove(&certificate_path)?;
    write_key(&key_path, &key)?;
    folder::write(&certificate_path, certificate.pem().as_bytes(), Readers::All)?;
    Ok((Issuer::new(params, key), true))
}

/// Writes a key, then its certificate.
fn issue(
    authority: &Authority,
    (certificate_path, key_path): &(PathBuf, PathBuf),
    name: &str,
    hosts: Vec<String>,
    usage: ExtendedKeyUsagePurpose,
) -> Result<(), LabError> {
    let wrong = |source| LabError::Certificate { path: certificate_path.clone(), source };
    let key = KeyPair::generate().map_err(wrong)?;
    let mut params = params(name, hosts).map_err(wrong)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    let certificate = params.signed_by(&key, authority).map_err(wrong)?;
    folder::remove(certificate_path)?;
    write_key(key_path, &key)?;
    folder::write(certificate_path, certificate.pem().as_bytes(), Readers::All)
}

fn params(name: &str, hosts: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(hosts)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // A lab outlives no century, and a machine's clock may be years off.
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 12, 31);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn write_key(path: &Path, key: &KeyPair) -> Result<(), LabError> {
    let pem = Zeroizing::new(key.serialize_pem());
    folder::write(path, pem.as_bytes(), Readers::Owner)
}

/// By which hosts a KME may be called.
fn hosts(node: &NodeSetup) -> Vec<String> {
    let mut hosts: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    hosts.push(node.name.clone());
    let own = node.address.ip().to_string();
    if !hosts.contains(&own) {
        hosts.push(own);
    }
    hosts
}

fn are_there((certificate, key): &(PathBuf, PathBuf)) -> bool {
    certificate.is_file() && key.is_file()
}
