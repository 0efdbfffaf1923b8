package com.onsite

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import kotlin.io.path.exists
import kotlin.io.path.isDirectory
import kotlin.io.path.readText

/** The script that packs the AAR, as far as it goes without an NDK. */
class AndroidTest {
    private val script = root.resolve("mobile-bindings/kotlin/android/package.sh").toString()

    private fun run(vararg args: String): Pair<Int, String> {
        val run = ProcessBuilder(script, *args).redirectErrorStream(true).start()
        val said = run.inputStream.readAllBytes().decodeToString()
        return run.waitFor() to said
    }

    @Test
    fun `a dry run says every command and lays out the rest`(@TempDir out: Path) {
        val (status, said) = run("--dry-run", "--out", out.toString())
        assertEquals(0, status, said)
        val commands = said.lines().filter { it.startsWith("+ ") }
        val abis = mapOf(
            "arm64-v8a" to "AARCH64_LINUX_ANDROID",
            "armeabi-v7a" to "ARMV7_LINUX_ANDROIDEABI",
            "x86_64" to "X86_64_LINUX_ANDROID",
        )
        for ((abi, target) in abis) {
            val build = commands.single { "cargo ndk" in it && "--target $abi " in it }
            assertTrue("CARGO_TARGET_${target}_RUSTFLAGS=-C link-arg=-Wl,-z,max-page-size=16384" in build, build)
            assertTrue("--output-dir $out/aar/jni" in build && "--release" in build && "--locked" in build, build)
            assertTrue(out.resolve("aar/jni/$abi").isDirectory())
        }
        assertEquals(3, commands.count { "cargo ndk" in it })
        assertTrue(commands.any { " mvn " in it && "-Donsite.library.dir=$out/aar/none" in it })
        assertTrue(commands.last().startsWith("+ jar --create"), commands.last())
        for (file in listOf("AndroidManifest.xml", "proguard.txt", "R.txt")) assertTrue(out.resolve("aar/$file").exists(), file)
        val rules = out.resolve("aar/proguard.txt").readText()
        assertTrue("-keep class com.sun.jna.**" in rules && "-keep class com.onsite.engine.**" in rules)
        val pom = out.resolve("onsite-android-0.1.0.pom").readText()
        val own = root.resolve("mobile-bindings/kotlin/pom.xml").readText()
        val jna = Regex("<artifactId>jna</artifactId>\\s*<version>(.*)</version>")
        assertEquals(jna.find(own)!!.groupValues[1], jna.find(pom)!!.groupValues[1])
        assertTrue("<type>aar</type>" in pom)
    }

    @Test
    fun `a library that is aligned to pages of 4 KB is told from one of 16 KB`(@TempDir out: Path) {
        for ((size, expected) in listOf(4096 to 1, 16384 to 0)) {
            val library = out.resolve("lib$size.so").toString()
            val source = out.resolve("empty.c").also { it.toFile().writeText("int x;\n") }.toString()
            val cc = ProcessBuilder("cc", "-shared", "-Wl,-z,max-page-size=$size", "-o", library, source).inheritIO().start()
            assertEquals(0, cc.waitFor())
            val (status, said) = run("--check-alignment", library)
            assertEquals(expected, status, said)
        }
    }
}
