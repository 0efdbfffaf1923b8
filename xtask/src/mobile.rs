//! The packages for phones and scripts: their generated sources, their tests, their figures.

use crate::{on_path, root, run};
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Generated sources that are committed: what the generator calls them, and the folder they belong in.
const GENERATED: [(&str, &str); 3] = [
    ("com/onsite/engine/onsite_ffi.kt", "mobile-bindings/kotlin/src/generated/kotlin/"),
    ("OnsiteEngine.swift", "mobile-bindings/swift/Sources/OnsiteEngine/"),
    ("OnsiteFFI.h", "mobile-bindings/swift/Sources/OnsiteFFI/"),
];

/// Where cargo builds.
pub(crate) fn target() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(std::path::absolute(target)?)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Generates the Kotlin and Swift sources anew; or only says where they differ from what the engine has now.
pub(crate) fn bindings(check: bool) -> Result<()> {
    let target = target()?;
    let build = ["build", "--quiet", "--locked", "-p", "onsite-ffi", "--features", "bindgen"];
    run("cargo", &[&build[..], &["--lib", "--bin", "uniffi-bindgen"]].concat(), &[])?;
    let out = target.join("bindings");
    let _ = std::fs::remove_dir_all(&out);
    generate(&target, "debug", &["kotlin", "swift"], &out)?;
    let mut different = Vec::new();
    for (made, folder) in GENERATED {
        let committed = format!("{folder}{made}");
        // Lines end without blanks, as everywhere in this repository.
        let made = std::fs::read_to_string(out.join(made)).with_context(|| format!("no {made} was generated"))?;
        let made: String = made.lines().flat_map(|line| [line.trim_end(), "\n"]).collect();
        if std::fs::read_to_string(&committed).is_ok_and(|there| there == made) {
            continue;
        }
        if !check {
            if let Some(folder) = Path::new(&committed).parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::write(&committed, made)?;
            println!("{committed}");
        }
        different.push(committed);
    }
    if check && !different.is_empty() {
        bail!(
            "these are not what the engine's interface generates; run `cargo xtask bindings` and commit:\n  {}",
            different.join("\n  ")
        );
    }
    Ok(())
}

/// Writes these languages' sources for the library of `profile`, by the generator built before.
fn generate(target: &Path, profile: &str, languages: &[&str], out: &Path) -> Result<()> {
    let (generator, out) = (text(&target.join("debug/uniffi-bindgen")), text(out));
    let library = text(&target.join(profile).join(library()));
    let mut args = vec!["generate", "--no-format", "--config", "ffi/uniffi.toml", "--out-dir", &out];
    for language in languages {
        args.extend(["--language", language]);
    }
    args.push(&library);
    run(&generator, &args, &[])
}

fn library() -> &'static str {
    if cfg!(target_os = "macos") { "libonsite_ffi.dylib" } else { "libonsite_ffi.so" }
}

/// A phone's folder with ten thousand work orders, made anew.
fn many(target: &Path) -> Result<PathBuf> {
    let folder = target.join("phone-10000");
    let _ = std::fs::remove_dir_all(&folder);
    let load = ["run", "--quiet", "--locked", "--profile", "sim", "-p", "onsite-e2e", "--bin", "load", "--"];
    run("cargo", &[&load[..], &["phone", &text(&folder)]].concat(), &[])?;
    Ok(folder)
}

/// The environment that the Python package is built and tested in.
fn python_environment(target: &Path) -> Result<PathBuf> {
    let venv = target.join("python");
    if !venv.join("bin/maturin").is_file() {
        run("python3", &["-m", "venv", &text(&venv)], &[])?;
        let pip = text(&venv.join("bin/pip"));
        run(&pip, &["install", "--quiet", "maturin>=1.9,<2", "pytest>=8,<10", "mypy>=1.13,<3"], &[])?;
    }
    Ok(venv)
}

/// Builds the Python package, checks its types, lives its day against a real server, and runs the sample where
/// nothing but its wheel is installed.
pub(crate) fn python() -> Result<()> {
    let target = target()?;
    let (venv, package) = (python_environment(&target)?, root().join("mobile-bindings/python"));
    let tool = |name: &str| text(&venv.join("bin").join(name));
    let (wheels, fresh) = (target.join("python-wheel"), target.join("python-fresh"));
    let _ = std::fs::remove_dir_all(&wheels);
    let fresh_python = text(&fresh.join("bin/python"));
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", venv.join("bin").display());
    let (venv_text, onsite) = (text(&venv), text(&target.join("debug/onsite")));
    let env = [
        ("VIRTUAL_ENV", venv_text.as_str()),
        ("PATH", path.as_str()),
        ("ONSITE_BIN", onsite.as_str()),
        ("ONSITE_SAMPLE_PYTHON", fresh_python.as_str()),
    ];
    let manifest = text(&package.join("pyproject.toml"));
    std::env::set_current_dir(&package)?;
    // What `develop` leaves among the sources is none of them: a wheel would hold it twice.
    let _ = std::fs::remove_dir_all("python/onsite/_engine");
    let done = run(&tool("maturin"), &["build", "--quiet", "--locked", "--out", &text(&wheels)], &env)
        .and_then(|()| run(&tool("maturin"), &["develop", "--quiet", "--locked"], &env))
        .and_then(|()| run(&tool("mypy"), &["--config-file", &manifest], &env))
        .and_then(|()| run("python3", &["-m", "venv", "--clear", &text(&fresh)], &[]))
        .and_then(|()| {
            let from = text(&wheels);
            let install = ["-m", "pip", "install", "--quiet", "--no-index", "--find-links", &from, "onsite"];
            run(&fresh_python, &install, &[])
        })
        .and_then(|()| run(&tool("pytest"), &["-q"], &env));
    std::env::set_current_dir(root())?;
    done
}

/// Maven on the Kotlin package, with the library of `profile` less what debuggers read.
fn maven(profile: &str, target: &Path, goals: &[&str], env: &[(&str, &str)]) -> Result<()> {
    let slim = target.join("kotlin-library");
    std::fs::create_dir_all(&slim)?;
    let (built, packed) = (text(&target.join(profile).join(library())), text(&slim.join(library())));
    run("strip", &["-S", "-o", &packed, &built], &[])?;
    let from = format!("-Donsite.library.dir={}", slim.display());
    let build = format!("-Donsite.build.dir={}", target.join("kotlin").display());
    let platform = format!("-Donsite.platform={}", platform());
    let args = ["-q", "-B", "-f", "mobile-bindings/kotlin/pom.xml", &from, &build, &platform];
    run("mvn", &[&args[..], goals].concat(), env)
}

/// This machine, as JNA names the folder of its libraries.
fn platform() -> String {
    let system = if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS };
    format!("{system}-{}", std::env::consts::ARCH.replace("x86_64", "x86-64"))
}

/// The library that the packages call.
fn engine() -> Result<()> {
    run("cargo", &["build", "--quiet", "--locked", "-p", "onsite-ffi", "--features", "bindgen", "--lib"], &[])
}

/// What the packages' tests run on: the library, a server, a phone's folder. Where those are, for their environment.
fn tried_on(target: &Path) -> Result<[(&'static str, String); 2]> {
    run("cargo", &["build", "--quiet", "--locked", "-p", "onsite-server", "--bin", "onsite"], &[])?;
    let many = many(target)?;
    engine()?;
    Ok([("ONSITE_BIN", text(&target.join("debug/onsite"))), ("ONSITE_MANY", text(&many))])
}

/// Builds the Kotlin package and runs its tests on the JVM against a real server; or only packs its documentation.
pub(crate) fn kotlin(documentation: bool) -> Result<()> {
    let target = target()?;
    if documentation {
        engine()?;
        maven("debug", &target, &["-Pdocumentation", "-Dmaven.test.skip=true", "package"], &[])?;
        let pages = ["com/onsite/Phone.html", "com/onsite/engine/Onsite.html"];
        return holds(&target.join("kotlin/onsite-0.1.0-javadoc.jar"), &pages);
    }
    let env = tried_on(&target)?;
    maven("debug", &target, &["verify"], &env.each_ref().map(|(name, value)| (*name, value.as_str())))?;
    let inside = format!("{}/{}", platform(), library());
    holds(&target.join("kotlin/onsite-0.1.0.jar"), &[&inside])?;
    holds(&target.join("kotlin/onsite-0.1.0-sources.jar"), &["com/onsite/Phone.kt", "com/onsite/engine/onsite_ffi.kt"])
}

/// That a jar has files of these names.
fn holds(jar: &Path, names: &[&str]) -> Result<()> {
    let listed = Command::new("jar").arg("--list").arg("--file").arg(jar).output().context("no `jar`")?;
    let listed = String::from_utf8_lossy(&listed.stdout);
    match names.iter().find(|name| !listed.lines().any(|line| line == **name)) {
        Some(missing) => bail!("{} does not hold {missing}: {listed}", jar.display()),
        None => Ok(()),
    }
}

/// How Swift is run: by itself, or in a Debian that `mobile-bindings/swift/toolchain.sh` unpacked.
fn swift_toolchain(target: &Path) -> Option<Vec<String>> {
    if on_path("swift") {
        return Some(vec!["swift".into()]);
    }
    let chroot = target.join("swift-toolchain");
    // A link that leads where it means inside only.
    let there = chroot.join("usr/bin/swift").symlink_metadata().is_ok();
    there.then(|| vec!["mobile-bindings/swift/toolchain.sh".into(), text(&chroot), "swift".into()])
}

/// Says loudly what is left out where there is no Swift.
fn without_swift(skipped: &str, target: &Path) {
    println!("\n*** SKIPPED: {skipped}. There is no Swift here: install a toolchain, or run");
    println!(
        "*** `mobile-bindings/swift/toolchain.sh {}` as root, which unpacks Debian's.\n",
        target.join("swift-toolchain").display()
    );
}

fn swift_run(
    swift: &[String],
    verb: &str,
    profile: &str,
    target: &Path,
    rest: &[&str],
    env: &[(&str, &str)],
) -> Result<()> {
    let (program, before) = swift.split_first().context("no program")?;
    let libraries = text(&target.join(profile));
    let package = text(&root().join("mobile-bindings/swift"));
    let scratch = text(&target.join("swift"));
    let mut args: Vec<&str> = before.iter().map(String::as_str).collect();
    let search = format!("-L{libraries}");
    args.extend([verb, "--package-path", &package, "--scratch-path", &scratch, "-Xlinker", &search]);
    args.extend(rest);
    run(program, &args, &[&[("LD_LIBRARY_PATH", libraries.as_str())][..], env].concat())
}

/// Builds the Swift package and runs its tests against a real server, where there is a toolchain.
pub(crate) fn swift() -> Result<()> {
    let target = target()?;
    let Some(swift) = swift_toolchain(&target) else {
        without_swift("the Swift package's tests", &target);
        return Ok(());
    };
    let env = tried_on(&target)?;
    swift_run(&swift, "test", "debug", &target, &[], &env.each_ref().map(|(name, value)| (*name, value.as_str())))
}

/// The engine with SQLCipher, in a folder of its own: it takes minutes to build, and belongs in no other build.
pub(crate) fn cipher() -> Result<()> {
    let apart = text(&target()?.join("cipher"));
    run(
        "cargo",
        &["test", "--locked", "-p", "onsite-ffi", "--features", "cipher", "--test", "cipher"],
        &[("CARGO_TARGET_DIR", &apart)],
    )
}

/// The calls of a screen that are measured.
const CALLS: [&str; 4] = ["today", "show", "search", "edit"];

/// Measures the calls of a screen in every language beside the bare engine, in one run on copies of one phone.
pub(crate) fn bench() -> Result<()> {
    let target = target()?;
    // Both at once, so that they share what they are built of.
    let build = ["build", "--release", "--locked", "-p", "onsite-ffi", "-p", "onsite-e2e", "--lib", "--bin", "load"];
    run("cargo", &build, &[])?;
    let made = target.join("phone-10000");
    let _ = std::fs::remove_dir_all(&made);
    run(&text(&target.join("release/load")), &["phone", &text(&made)], &[])?;
    let mut figures: Vec<(&str, Vec<f64>)> = Vec::new();
    let mut measure = |name: &'static str, command: &mut dyn FnMut(&str) -> Result<Command>| -> Result<()> {
        let copy = text(&target.join(format!("phone-{name}")));
        let _ = std::fs::remove_dir_all(&copy);
        run("cp", &["-r", &text(&made), &copy], &[])?;
        figures.push((name, medians(command(&copy)?)?));
        Ok(())
    };
    measure("Rust", &mut |phone| {
        let mut load = Command::new(target.join("release/load"));
        load.args(["screen", phone]);
        Ok(load)
    })?;
    let venv = python_environment(&target)?;
    generate_python(&target)?;
    measure("Python", &mut |phone| {
        let mut python = Command::new(venv.join("bin/python"));
        python.args(["mobile-bindings/python/bench.py", phone]).env("PYTHONPATH", target.join("bench-python"));
        Ok(python)
    })?;
    if on_path("mvn") {
        let others = target.join("kotlin.classpath");
        maven(
            "release",
            &target,
            &["test-compile", "dependency:build-classpath", &format!("-Dmdep.outputFile={}", text(&others))],
            &[],
        )?;
        measure("Kotlin", &mut |phone| {
            let built = target.join("kotlin");
            let others = std::fs::read_to_string(&others)?;
            let path = format!("{}:{}:{others}", built.join("classes").display(), built.join("test-classes").display());
            let mut java = Command::new("java");
            java.args(["-cp", &path, "com.onsite.BenchKt", phone]);
            Ok(java)
        })?;
    } else {
        println!("\n*** SKIPPED: Kotlin's figures. There is no Maven here.\n");
    }
    if let Some(swift) = swift_toolchain(&target) {
        swift_run(&swift, "build", "release", &target, &["-c", "release", "--product", "OnsiteBench"], &[])?;
        measure("Swift", &mut |phone| {
            let mut bench = match swift.split_last() {
                Some((_, [program, before @ ..])) => {
                    let mut run = Command::new(program);
                    run.args(before).arg(target.join("swift/release/OnsiteBench"));
                    run
                }
                _ => Command::new(target.join("swift/release/OnsiteBench")),
            };
            bench.arg(phone).env("LD_LIBRARY_PATH", target.join("release"));
            Ok(bench)
        })?;
    } else {
        without_swift("Swift's figures", &target);
    }
    println!("\n| a call, median | {} |", CALLS.join(" | "));
    println!("|---|{}", "---|".repeat(CALLS.len()));
    let bare = figures.first().map(|(_, all)| all.clone()).unwrap_or_default();
    for (name, all) in &figures {
        let cells = all.iter().zip(&bare).map(|(n, bare)| format!("{:.0} µs ({:.2} ×)", n, n / bare));
        println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    Ok(())
}

/// The Python package over the optimised library, as a folder to import from.
fn generate_python(target: &Path) -> Result<()> {
    run(
        "cargo",
        &["build", "--quiet", "--locked", "-p", "onsite-ffi", "--features", "bindgen", "--bin", "uniffi-bindgen"],
        &[],
    )?;
    let package = target.join("bench-python/onsite");
    let _ = std::fs::remove_dir_all(&package);
    std::fs::create_dir_all(package.join("_engine"))?;
    std::fs::copy("mobile-bindings/python/python/onsite/__init__.py", package.join("__init__.py"))?;
    generate(target, "release", &["python"], &package.join("_engine"))?;
    std::fs::write(package.join("_engine/__init__.py"), "from .onsite_ffi import *\nfrom . import onsite_ffi\n")?;
    std::fs::copy(target.join("release").join(library()), package.join("_engine").join(library()))?;
    Ok(())
}

/// What a benchmark printed: a line for each call, its name and its median.
fn medians(mut command: Command) -> Result<Vec<f64>> {
    println!("$ {command:?}");
    let out = command.stderr(std::process::Stdio::inherit()).output()?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    if !out.status.success() {
        bail!("it failed ({}): {said}", out.status);
    }
    let figure = |call: &&str| {
        let line = said.lines().find_map(|line| line.strip_prefix(call)?.trim().parse().ok());
        line.with_context(|| format!("it said nothing of {call}: {said}"))
    };
    CALLS.iter().map(figure).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_readmes_show_the_samples_that_the_tests_run() {
        for (package, language, sample) in [
            ("kotlin", "kotlin", "src/test/kotlin/com/onsite/Sample.kt"),
            ("swift", "swift", "Tests/OnsiteKitTests/Sample.swift"),
            ("python", "python", "sample.py"),
        ] {
            let package = root().join("mobile-bindings").join(package);
            let readme = std::fs::read_to_string(package.join("README.md")).unwrap();
            let (_, rest) = readme.split_once(&format!("```{language}\n")).unwrap();
            let (shown, rest) = rest.split_once("```").unwrap();
            assert!(!rest.contains(&format!("```{language}")), "{sample}: another sample, which nothing runs");
            let run = std::fs::read_to_string(package.join(sample)).unwrap();
            assert!(shown.lines().count() > 10 && run.contains(shown), "{sample} is not what the README shows");
        }
    }

    #[test]
    fn the_xcframework_script_says_every_command() {
        let out = target().unwrap().join(format!("xcframework-dry-{}", std::process::id()));
        let script = root().join("mobile-bindings/swift/xcframework.sh");
        let run = Command::new(script).args(["--dry-run", "--out", &text(&out)]).output().unwrap();
        let said = String::from_utf8(run.stdout).unwrap();
        assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
        let built: Vec<&str> = said.lines().filter(|l| l.starts_with("+ cargo rustc ")).collect();
        for target in [
            "aarch64-apple-ios",
            "aarch64-apple-ios-sim",
            "x86_64-apple-ios",
            "aarch64-apple-darwin",
            "x86_64-apple-darwin",
        ] {
            let end = format!("--crate-type staticlib --target {target}");
            assert!(built.iter().any(|l| l.ends_with(&end) && l.contains(" --release ")), "{target}: {said}");
        }
        assert_eq!(said.lines().filter(|l| l.starts_with("+ lipo -create ")).count(), 3, "{said}");
        let last = said.lines().last().unwrap();
        assert!(last.starts_with("+ xcodebuild -create-xcframework -library "), "{last}");
        assert_eq!(last.matches(" -headers ").count(), 3, "{last}");
        let map = std::fs::read_to_string(out.join("headers/module.modulemap")).unwrap();
        assert!(map.contains("header \"OnsiteFFI.h\"") && !map.contains("link"), "{map}");
        assert!(out.join("headers/OnsiteFFI.h").is_file());
        std::fs::remove_dir_all(out).unwrap();
    }
}
