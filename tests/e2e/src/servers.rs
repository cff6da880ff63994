//! Real S3 servers, each with a bucket, in a temporary folder.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(120);

/// The owner of every bucket.
const ID: &str = "warifu";
const SECRET: &str = "known-to-all-tests";

const BUCKET: &str = "genomes";

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// `SeaweedFS`: minds conditions, verifies checksums.
    Seaweed,
    /// `s3s-fs`: small and careless; its conditions lose races.
    S3sFs,
}

/// A bucket at a server of its own, which is killed with it.
pub struct Bucket {
    kind: ServerKind,
    program: PathBuf,
    root: TempDir,
    /// Of S3 first; then those that the server has for itself.
    ports: Vec<u16>,
    server: Option<Child>,
}

impl Bucket {
    /// Starts a server; `None`, and a word that the test is skipped, where `tools/test` has not
    /// installed it.
    ///
    /// # Panics
    /// Where it does not start.
    #[must_use]
    pub fn start(kind: ServerKind) -> Option<Self> {
        let program = installed(kind)?;
        let root = tempfile::tempdir().unwrap();
        let count = if kind == ServerKind::Seaweed { 8 } else { 1 };
        let mut bucket = Self { kind, program, root, ports: free_ports(count), server: None };
        bucket.restart();
        match kind {
            ServerKind::Seaweed => bucket.make_bucket(),
            ServerKind::S3sFs => std::fs::create_dir(bucket.root.path().join(BUCKET)).unwrap(),
        }
        Some(bucket)
    }

    /// Starts the server where it does not run, and waits until it answers.
    ///
    /// # Panics
    /// Where it does not.
    pub fn restart(&mut self) {
        self.kill_nine();
        let mut command = match self.kind {
            ServerKind::Seaweed => self.seaweed(),
            ServerKind::S3sFs => self.s3s_fs(),
        };
        let log = std::fs::File::create(self.root.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.server = Some(command.spawn().unwrap());
        let waited_for = match self.kind {
            ServerKind::Seaweed => vec![self.ports[0], self.ports[1]],
            ServerKind::S3sFs => vec![self.ports[0]],
        };
        for port in waited_for {
            self.wait_for(port, "/");
        }
        if self.kind == ServerKind::Seaweed {
            // Without a volume server nothing can be put yet.
            self.wait_for(self.ports[2], "/dir/assign");
        }
    }

    /// Kills the server, as kill -9 does.
    pub fn kill_nine(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ended = server.kill();
            let _reaped = server.wait();
        }
    }

    /// The URL of a store in the bucket.
    #[must_use]
    pub fn url(&self, prefix: &str) -> String {
        format!("s3://{BUCKET}/{prefix}?endpoint={}&region=us-east-1", self.endpoint())
    }

    /// What the environment of a client says.
    #[must_use]
    pub fn credentials(&self) -> Vec<(&'static str, String)> {
        vec![("AWS_ACCESS_KEY_ID", ID.to_owned()), ("AWS_SECRET_ACCESS_KEY", SECRET.to_owned())]
    }

    /// The name and the secret of its owner's key.
    #[must_use]
    pub fn key(&self) -> (&'static str, &'static str) {
        (ID, SECRET)
    }

    /// The uploads that are begun and neither completed nor aborted, as the server's own files or
    /// file lists show them.
    ///
    /// # Panics
    /// Where they can't be listed.
    #[must_use]
    pub fn unfinished_uploads(&self) -> usize {
        match self.kind {
            ServerKind::Seaweed => {
                let path = format!("/buckets/{BUCKET}/.uploads/?limit=1000");
                let answer = http(self.ports[1], "GET", &path).unwrap();
                answer.matches("\"FullPath\"").count()
            }
            ServerKind::S3sFs => {
                let files = std::fs::read_dir(self.root.path()).unwrap();
                let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
                names.filter(|name| name.starts_with(".upload")).count()
            }
        }
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    fn s3s_fs(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--host", "127.0.0.1", "--port", &self.ports[0].to_string()]);
        command.args(["--access-key", ID, "--secret-key", SECRET]).arg(self.root.path());
        command
    }

    fn seaweed(&self) -> Command {
        let data = self.root.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        let config = self.root.path().join("s3.json");
        let owner = serde_json::json!({ "identities": [{
            "name": "owner",
            "credentials": [{ "accessKey": ID, "secretKey": SECRET }],
            "actions": ["Admin", "Read", "Write", "List"],
        }] });
        std::fs::write(&config, owner.to_string()).unwrap();
        let names = [
            "s3.port",
            "filer.port",
            "master.port",
            "volume.port",
            "s3.port.grpc",
            "filer.port.grpc",
            "master.port.grpc",
            "volume.port.grpc",
        ];
        let mut command = Command::new(&self.program);
        command.env("GOMEMLIMIT", "300MiB").arg("server");
        command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]);
        command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
        command.args(["-master.volumeSizeLimitMB=256", "-volume.max=40"]);
        command.arg(format!("-dir={}", data.display()));
        command.arg(format!("-s3.config={}", config.display()));
        command.args(names.iter().zip(&self.ports).map(|(name, port)| format!("-{name}={port}")));
        command
    }

    /// A bucket is a folder of the filer.
    fn make_bucket(&self) {
        self.wait_until("a bucket is made", || {
            let path = format!("/buckets/{BUCKET}/");
            http(self.ports[1], "POST", &path).is_some_and(|answer| answer.contains(" 201 "))
        });
    }

    fn wait_for(&self, port: u16, path: &str) {
        self.wait_until("it answers", || {
            let answer = http(port, "GET", path);
            answer.is_some_and(|answer| {
                let status = answer.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
                status.is_some_and(|status| status < 500 && !answer.contains("\"error\""))
            })
        });
    }

    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let started = Instant::now();
        while !is_so() {
            let log = || std::fs::read_to_string(self.root.path().join("log")).unwrap_or_default();
            assert!(started.elapsed() < PATIENCE, "not until now that {what}: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.kill_nine();
    }
}

/// Where `tools/test` installed the server.
#[expect(clippy::print_stdout, reason = "what a test leaves out is said where tests are counted")]
fn installed(kind: ServerKind) -> Option<PathBuf> {
    let beside = |variable: &str, name: Option<&str>| {
        let found = PathBuf::from(std::env::var_os(variable)?);
        let found = name.map_or(found.clone(), |name| found.with_file_name(name));
        found.is_file().then_some(found)
    };
    let found = match kind {
        ServerKind::Seaweed => beside("WARIFU_TEST_PYTHON", Some("weed")),
        ServerKind::S3sFs => beside("WARIFU_TEST_S3S_FS", None),
    };
    if found.is_none() {
        println!("skipped: {kind:?} is not installed; ./tools/test installs it");
    }
    found
}

/// Ports that nobody listened at a moment ago.
fn free_ports(count: usize) -> Vec<u16> {
    let bound: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    bound.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// One request without a body, and all of its answer.
fn http(port: u16, method: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}
