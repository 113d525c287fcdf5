//! Java servers, fetched from Maven Central with all that they depend on.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::{Result, file};
use super::install::{installed, run};

const COPY_DEPENDENCIES: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/// A Maven artifact by its coordinates.
#[derive(Debug, Clone, Copy)]
pub struct Artifact {
    /// Group id.
    pub group: &'static str,
    /// Artifact id.
    pub id: &'static str,
    /// Version.
    pub version: &'static str,
}

/// A folder that holds the jars of these artifacts and of their dependencies; fetched on first use.
pub fn jars(name: &str, artifacts: &[Artifact]) -> Result<PathBuf> {
    let pom = pom(name, artifacts);
    installed(name, &pom, |dir| {
        let pom_file = dir.join("pom.xml");
        fs::write(&pom_file, &pom).map_err(file("write", &pom_file))?;
        run(Command::new("mvn")
            .args(["--batch-mode", "--quiet", "--file"])
            .arg(&pom_file)
            .arg(COPY_DEPENDENCIES)
            .arg(format!("-DoutputDirectory={}", dir.display())))
    })
}

/// The class path of all jars in a folder.
pub fn class_path(jars: &Path) -> String {
    format!("{}/*", jars.display())
}

fn pom(name: &str, artifacts: &[Artifact]) -> String {
    let mut dependencies = String::new();
    for Artifact { group, id, version } in artifacts {
        let _ = writeln!(
            dependencies,
            "    <dependency><groupId>{group}</groupId><artifactId>{id}</artifactId><version>{version}</version></dependency>"
        );
    }
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  <modelVersion>4.0.0</modelVersion>\n  \
         <groupId>faultline.servers</groupId>\n  <artifactId>{name}</artifactId>\n  <version>1</version>\n  \
         <dependencies>\n{dependencies}  </dependencies>\n</project>\n"
    )
}
