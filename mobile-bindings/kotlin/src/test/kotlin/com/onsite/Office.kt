package com.onsite

import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.buildJsonObject
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.put
import kotlinx.serialization.json.putJsonArray
import kotlinx.serialization.json.add
import java.io.IOException
import java.net.ServerSocket
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpRequest.BodyPublishers
import java.net.http.HttpResponse.BodyHandlers
import java.nio.file.Files
import java.nio.file.Path
import java.util.UUID
import java.util.concurrent.TimeUnit
import kotlin.io.path.createDirectories

/** The repository's root. */
val root: Path = generateSequence(Path.of("").toAbsolutePath()) { it.parent }.first { Files.exists(it.resolve("Cargo.lock")) }

private const val PASSWORD = "a long passphrase"

/** A real server process on a folder of its own, and somebody with every office role signed in there. */
class Office(private val folder: Path, company: String = "浆模设备公司") : AutoCloseable {
    private val port = ServerSocket(0).use { it.localPort }
    private val http: HttpClient = HttpClient.newHttpClient()
    private var server: Process? = null
    private val cookie: String
    val url = "http://127.0.0.1:$port"

    init {
        folder.createDirectories()
        run("company", "add", company)
        val roles = listOf("admin", "service_manager", "clerk", "warehouse").flatMap { listOf("--role", it) }
        val user = arrayOf("user", "add", "--company", company, "--login", "boss", "--name", "赵经理", "--password-stdin")
        run(*user, *roles.toTypedArray(), input = PASSWORD)
        start()
        val body = """{"login": "boss", "password": "$PASSWORD"}"""
        val answer = http.send(request("/api/session").POST(BodyPublishers.ofString(body)).build(), BodyHandlers.ofString())
        cookie = answer.headers().firstValue("set-cookie").orElseThrow().substringBefore(';')
    }

    private fun process(vararg args: String): ProcessBuilder {
        val program = System.getenv("ONSITE_BIN") ?: root.resolve("target/debug/onsite").toString()
        val process = ProcessBuilder(program, *args).redirectErrorStream(true)
        // What is said to the tests is no key of the server's configuration.
        process.environment().keys.removeIf { it.startsWith("ONSITE_") }
        process.environment() += mapOf(
            "ONSITE_DATA" to folder.toString(),
            "ONSITE_LISTEN" to "127.0.0.1:$port",
            "ONSITE_AUTH__INSECURE_COOKIES" to "true",
        )
        return process
    }

    private fun run(vararg args: String, input: String = "") {
        val run = process(*args).start()
        run.outputStream.use { it.write(input.toByteArray()) }
        val printed = run.inputStream.readAllBytes().decodeToString()
        check(run.waitFor() == 0) { "onsite ${args.joinToString(" ")}: $printed" }
    }

    private fun request(path: String): HttpRequest.Builder =
        HttpRequest.newBuilder(URI(url + path)).header("content-type", "application/json").header("origin", url)

    /** Starts it, again too. */
    fun start() {
        val log = folder.resolve("server.log").toFile()
        val started = process("serve").redirectOutput(ProcessBuilder.Redirect.appendTo(log)).start()
        server = started
        repeat(300) {
            check(started.isAlive) { "the server ended: ${log.readText()}" }
            try {
                if (http.send(request("/readyz").build(), BodyHandlers.ofString()).statusCode() == 200) return
            } catch (_: IOException) {
                // Not listening yet.
            }
            TimeUnit.MILLISECONDS.sleep(100)
        }
        error("the server does not start: ${log.readText()}")
    }

    /** Kills it: the phones have no network. */
    fun stop() {
        server?.destroyForcibly()?.waitFor()
    }

    override fun close() = stop()

    /** Asks the office's API; with a body, posts it. */
    fun ask(path: String, body: JsonElement? = null): JsonElement {
        val request = request(path).header("cookie", cookie)
        if (body != null) request.POST(BodyPublishers.ofString(body.toString()))
        val answer = http.send(request.build(), BodyHandlers.ofString())
        check(answer.statusCode() < 300) { "$path ${answer.statusCode()}: ${answer.body()}\n$body" }
        return if (answer.body().isEmpty()) JsonNull else Json.parseToJsonElement(answer.body())
    }

    fun execute(command: JsonObject) = ask("/api/commands", command)

    /** A new technician. */
    fun technician(name: String): UUID = UUID.randomUUID().also { id ->
        execute(
            buildJsonObject {
                put("do", "put_staff")
                put("id", id.toString())
                put("name", name)
                put("code", id.toString().take(8))
                put("phone", "")
                putJsonArray("roles") { add("technician") }
            },
        )
    }

    fun customer(name: String): UUID = UUID.randomUUID().also { id ->
        execute(
            buildJsonObject {
                put("do", "put_customer")
                put("id", id.toString())
                put("name", name)
                put("code", "")
                put("project_completed", JsonNull)
                put("call_interval_days", JsonNull)
            },
        )
    }

    /** A work order, due now so that it is among today's at any hour. */
    fun job(customer: UUID, technician: UUID, text: String): UUID = UUID.randomUUID().also { id ->
        execute(
            buildJsonObject {
                put("do", "open_work_order")
                put("id", id.toString())
                put("customer", customer.toString())
                put("equipment", JsonNull)
                put("work_type", "repair")
                put("request", JsonNull)
                put("follow_on_of", JsonNull)
                put("service_description", text)
                put("arrival_deadline", System.currentTimeMillis())
            },
        )
        execute(
            buildJsonObject {
                put("do", "assign")
                put("id", id.toString())
                putJsonArray("technicians") { add(technician.toString()) }
                put("reason", "")
            },
        )
    }

    /** A one-time code for a technician's phone. */
    fun code(technician: UUID): String {
        val asked = buildJsonObject { put("staff", technician.toString()) }
        return ask("/api/device-codes", asked).jsonObject.getValue("code").jsonPrimitive.content
    }

    /** A technician's phone, enrolled. */
    suspend fun phone(folder: Path, technician: UUID): Phone =
        Phone.open(folder, "junit 1.0").also { it.enrol(url, code(technician), "phone") }
}
