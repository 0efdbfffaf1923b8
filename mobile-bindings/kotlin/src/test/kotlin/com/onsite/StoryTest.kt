package com.onsite

import com.onsite.engine.CheckResult
import com.onsite.engine.Command
import com.onsite.engine.Content
import com.onsite.engine.Detail
import com.onsite.engine.Doc
import com.onsite.engine.EventKind
import com.onsite.engine.IncompleteReason
import com.onsite.engine.Kind
import com.onsite.engine.Language
import com.onsite.engine.Line
import com.onsite.engine.NewPhoto
import com.onsite.engine.OnsiteException
import com.onsite.engine.Outcome
import com.onsite.engine.PayMethod
import com.onsite.engine.Position
import com.onsite.engine.Satisfaction
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.contentOrNull
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.long
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import java.util.UUID
import kotlin.io.path.readText

private fun json(value: Any?): JsonElement = when (value) {
    null -> JsonNull
    is JsonElement -> value
    is Map<*, *> -> JsonObject(value.entries.associate { (key, v) -> key.toString() to json(v) })
    is Iterable<*> -> JsonArray(value.map(::json))
    is Boolean -> JsonPrimitive(value)
    is Enum<*> -> JsonPrimitive(value.name.lowercase())
    is Number -> JsonPrimitive(value)
    is ULong -> JsonPrimitive(value.toLong())
    else -> JsonPrimitive(value.toString())
}

private val JsonElement.text: String get() = jsonPrimitive.content

/** Where it is not as expected: how. */
private fun differs(expected: JsonElement, found: JsonElement, at: String = ""): String? {
    val no = "$at: expected $expected, found $found"
    return when {
        expected is JsonObject && "at_least" in expected ->
            no.takeIf { found.jsonPrimitive.long < expected.getValue("at_least").jsonPrimitive.long }
        expected is JsonObject && "holds" in expected -> no.takeUnless {
            expected.getValue("holds").jsonArray.all { if (found is JsonArray) it in found else it.text in found.text }
        }
        expected is JsonObject -> expected.entries.firstNotNullOfOrNull { (key, value) ->
            differs(value, (found as? JsonObject)?.get(key) ?: JsonNull, "$at/$key")
        }
        expected is JsonArray && found is JsonArray && expected.size == found.size ->
            expected.indices.firstNotNullOfOrNull { differs(expected[it], found[it], "$at/$it") }
        else -> no.takeUnless { expected == found }
    }
}

private fun failure(e: OnsiteException): JsonElement {
    val name = e.javaClass.simpleName.replace(Regex("(?<=.)([A-Z])"), "_$1").lowercase()
    return json(
        when (e) {
            is OnsiteException.Refused -> mapOf("error" to name, "code" to e.code, "field" to e.field)
            is OnsiteException.Invalid -> mapOf("error" to name, "field" to e.field)
            is OnsiteException.Server -> mapOf("error" to name, "code" to e.code)
            else -> mapOf("error" to name)
        },
    )
}

private fun titles(lines: List<Line>) = json(mapOf("titles" to lines.map { it.summary.title }.sorted()))

private fun shown(detail: Detail): JsonElement {
    val found = mutableMapOf<String, Any?>(
        "title" to detail.summary.title,
        "stage" to detail.stage,
        "clashes" to detail.clashes.map { it.path }.sorted(),
        "delivery" to detail.delivery,
        "explained" to detail.explanations.map { it.key }.sorted(),
        "numbered" to detail.summary.number.isNotEmpty(),
    )
    when (val content = detail.content) {
        is Content.Visit -> content.v1.let { v ->
            found += mapOf(
                "resolution" to v.resolution,
                "notes" to v.notes.map { it.text }.sorted(),
                "outcome" to v.outcome,
                "satisfaction" to v.satisfaction,
                "accepted" to v.acceptance?.accepted,
                "events" to v.events.map { it.kind.name.lowercase() }.sorted(),
                "used" to v.items.associate { it.name to it.used },
                "checks" to v.checks.associate { it.key to it.result },
                "photos" to v.photos.size,
                "receipts" to v.receipts.sumOf { it.amount },
                "signature" to detail.signature,
            )
        }
        is Content.WorkOrder -> content.v1.let { o ->
            found += mapOf(
                "service_description" to o.dispatch.serviceDescription,
                "technicians" to o.assignments.size,
                "items" to o.dispatch.items.associate { it.name to it.required },
                "visits" to detail.visits.size,
                "entitlement" to detail.entitlement?.entitlement,
            )
        }
        is Content.Customer ->
            found += mapOf("name" to content.v1.name, "contacts" to content.v1.contacts.map { it.name }.sorted())
        else -> error("the story looks at no such document: $content")
    }
    return json(found)
}

private inline fun <reified E : Enum<E>> JsonElement.word(): E = enumValueOf(text.uppercase())

/** The typed command, where this player knows it. */
private fun typed(c: JsonObject): Command? {
    fun id(key: String) = UUID.fromString(c.getValue(key).text)
    fun text(key: String) = c.getValue(key).text
    fun long(key: String) = c.getValue(key).jsonPrimitive.long
    return when (text("do")) {
        "open_visit" -> Command.OpenVisit(id("work_order"))
        "record_event" -> {
            val position = (c["position"] as? JsonObject)?.mapValues { it.value.jsonPrimitive.int }?.let {
                Position(it.getValue("lat_e7"), it.getValue("lon_e7"), it.getValue("accuracy_m").toUInt())
            }
            Command.RecordEvent(id("visit"), id("id"), c.getValue("event").word<EventKind>(), null, position, null)
        }
        "inspect" -> Command.Inspect(id("visit"), text("check"), c.getValue("result").word<CheckResult>(), text("note"))
        "use_item" -> Command.UseItem(
            id("visit"), id("item"), text("part_no"), text("name"), text("unit"), long("used"), long("taken_back"),
        )
        "add_note" -> Command.AddNote(id("visit"), id("id"), text("text"))
        "edit_text" -> {
            val doc = c.getValue("doc").jsonObject
            val of = Doc(doc.getValue("kind").word<Kind>(), UUID.fromString(doc.getValue("id").text))
            Command.EditText(of, text("field"), text("text"), c.getValue("seen").jsonArray.map { it.text })
        }
        "set_outcome" -> {
            val why = c.getValue("incomplete_reason").takeUnless { it is JsonNull }?.word<IncompleteReason>()
            Command.SetOutcome(id("visit"), c.getValue("outcome").word<Outcome>(), why, text("remarks"))
        }
        "accept" -> Command.Accept(id("visit"), c.getValue("accepted").jsonPrimitive.boolean, text("remark"))
        "rate" ->
            Command.Rate(id("visit"), c.getValue("satisfaction").word<Satisfaction>(), emptyList(), text("comment"))
        "take_payment" -> Command.TakePayment(
            id("visit"), id("id"), long("amount"), c.getValue("method").word<PayMethod>(), text("reference"),
        )
        else -> null
    }
}

/** `tests/fixtures/story.json`, as every language plays it. */
class StoryTest {
    @TempDir
    lateinit var folder: Path
    private lateinit var office: Office
    private val phones = mutableMapOf<String, Phone>()
    private val names = mutableMapOf<String, UUID>()

    private fun id(name: String) = names.getOrPut(name) { UUID.randomUUID() }

    private fun meant(value: JsonElement): JsonElement = when (value) {
        is JsonObject -> JsonObject(value.mapValues { meant(it.value) })
        is JsonArray -> JsonArray(value.map(::meant))
        is JsonPrimitive -> when {
            !value.isString || !value.content.startsWith("$") -> value
            value.content == "\$now" -> JsonPrimitive(System.currentTimeMillis())
            else -> JsonPrimitive(id(value.content).toString())
        }
    }

    private suspend fun phone(name: String, step: JsonObject): JsonElement {
        fun text(key: String) = step[key]?.jsonPrimitive?.contentOrNull
        text("opens")?.let {
            phones[name] = Phone.open(folder.resolve(name), "story 1.0")
            return JsonNull
        }
        val phone = phones.getValue(name)
        when {
            "enrols" in step -> phone.enrol(office.url, office.code(id(text("enrols")!!)), name)
            "syncs" in step -> {
                val r = phone.engine.sync()
                val report =
                    mapOf("accepted" to r.accepted, "refused" to r.refused, "received" to r.received, "uploaded" to r.uploaded.toLong())
                assertNull(differs(step.getValue("syncs"), json(report)), "$r")
            }
            "does" in step -> {
                val command = meant(step.getValue("does")).jsonObject
                typed(command)?.let { phone.engine.execute(it) } ?: phone.engine.executeJson(command.toString())
            }
            "adds_photo_to" in step -> {
                val photo = NewPhoto(Doc(Kind.VISIT, id(text("adds_photo_to")!!)), phone.newId(), "image/png", "铭牌", null)
                val head = byteArrayOf(-119, 80, 78, 71, 13, 10, 26, 10)
                assertTrue(phone.addPhoto(photo, head.copyOf(text("bytes")!!.toInt())) is Executed.Done)
            }
            "chooses" in step -> {
                val doc = Doc(Kind.VISIT, id(text("of")!!))
                val clash = phone.show(doc).clashes.first { it.path == text("chooses") }
                val value = clash.values.first { Json.parseToJsonElement(it.value) == step["value"] }
                phone.engine.execute(Command.ChooseClash(doc, clash.path, value.change))
            }
            "signs" in step -> {
                val visit = id(text("signs")!!)
                val form = phone.engine.toSign(visit)
                phone.engine.execute(Command.Sign(visit, text("name")!!, text("strokes")!!, form.heads, form.content))
            }
            "resends" in step -> phone.engine.refused().forEach { phone.engine.resend(it.id) }
            "decided" in step -> {
                val edit = phone.engine.refused()[text("edit")!!.toInt()]
                office.ask("/api/set-aside/${edit.doc.id}/${edit.change}", meant(step.getValue("decided")))
            }
            "settles" in step -> phone.engine.refused().forEach { phone.engine.dismiss(it.id) }
            "signs_out" in step -> phone.engine.signOut()
            "closes" in step -> phone.close()
            "visit" in step -> {
                val order = phone.show(Doc(Kind.WORK_ORDER, id(text("of")!!)))
                names[text("visit")!!] = order.currentVisit!!
            }
            else -> return sees(phone, text("sees")!!, text("of").orEmpty())
        }
        return JsonNull
    }

    private suspend fun sees(phone: Phone, what: String, of: String): JsonElement = when (what) {
        "status" -> phone.engine.status().let {
            json(
                mapOf(
                    "enrolled" to it.enrolled, "documents" to it.documents, "unsent" to it.unsentChanges,
                    "blobs" to it.blobsWaiting, "refused" to it.refused, "clashed" to it.clashed, "safe" to it.safeToHandIn,
                ),
            )
        }
        "ready" -> phone.engine.readyToLeave().let { json(mapOf("ready" to it.ready, "missing" to it.missing.map { m -> m.key })) }
        "today" -> phone.today().first().let { today ->
            val jobs = today.jobs.map { mapOf("customer" to it.customerName, "address" to it.serviceAddress, "stage" to it.stage) }
            json(mapOf("jobs" to jobs, "requests" to today.requests.size))
        }
        "search" -> titles(phone.search(of).toList())
        "list" -> titles(phone.list(Kind.valueOf(of.uppercase())).toList())
        "form" -> json(mapOf("text" to phone.engine.renderForm(Doc(Kind.VISIT, id(of)), Language.ZH_CN)))
        "refused" -> {
            val edits = phone.engine.refused().map {
                mapOf(
                    "code" to it.code, "kind" to it.doc.kind, "wrote" to it.leaves.joinToString("") { leaf -> leaf.mine },
                    "decision" to it.decision?.verdict, "reason" to it.decision?.reason,
                )
            }
            json(mapOf("edits" to edits))
        }
        else -> shown(phone.show(Doc(Kind.valueOf(what.uppercase()), id(of))))
    }

    @Test
    fun `the story that every language plays`() {
        val story = Json.parseToJsonElement(root.resolve("tests/fixtures/story.json").readText()).jsonObject
        office = Office(folder.resolve("server"), story.getValue("company").text)
        office.use {
            runBlocking {
                for (step in story.getValue("steps").jsonArray.map { it.jsonObject }) {
                    when {
                        "chapter" in step -> continue
                        "server" in step -> if (step.getValue("server").text == "down") office.stop() else office.start()
                        "office" in step -> office.execute(meant(step.getValue("office")).jsonObject)
                        "office_sees" in step -> {
                            val found = office.ask("/api/documents/${id(step.getValue("office_sees").text)}")
                            assertNull(differs(step.getValue("is"), found), "$step")
                        }
                        else -> {
                            val found = try {
                                phone(step.getValue("phone").text, step)
                            } catch (e: OnsiteException) {
                                assertNull(step["fails"]?.let { differs(it, failure(e)) } ?: e.takeIf { "fails" !in step }, "$step: $e")
                                continue
                            }
                            assertEquals(null, step["fails"], "it did not fail: $step")
                            step["is"]?.let { assertNull(differs(it, found), "$step") }
                        }
                    }
                }
            }
        }
    }
}
