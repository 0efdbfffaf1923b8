package com.onsite

import com.onsite.engine.Command
import com.onsite.engine.Doc
import com.onsite.engine.EventKind
import com.onsite.engine.Kind
import com.onsite.engine.OnsiteException
import com.onsite.engine.Stage
import com.onsite.engine.Status
import com.onsite.engine.SyncProgress
import com.onsite.engine.SyncReport
import com.onsite.engine.Today
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.AfterAll
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Assertions.fail
import org.junit.jupiter.api.BeforeAll
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestInstance
import org.junit.jupiter.api.io.TempDir
import java.lang.management.ManagementFactory
import java.nio.file.Path
import java.time.Duration
import java.time.Instant
import java.util.UUID
import java.util.concurrent.CopyOnWriteArrayList

/** What a Kotlin app expects of its library besides the story. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class PhoneTest {
    @TempDir
    lateinit var folder: Path
    private lateinit var office: Office
    private lateinit var li: UUID
    private lateinit var customer: UUID

    @BeforeAll
    fun begin(@TempDir server: Path) {
        office = Office(server.resolve("data"))
        li = office.technician("李工")
        customer = office.customer("西安纸托厂")
    }

    @AfterAll
    fun end() = office.close()

    private fun arrived(visit: UUID, phone: Phone) =
        Command.RecordEvent(visit, phone.newId(), EventKind.ARRIVED, null, null, null)

    @Test
    fun `flows show what becomes of the day and end with the phone`() = runBlocking<Unit> {
        val wang = office.technician("王工")
        val order = office.job(customer, wang, "液压站油温偏高")
        val phone = office.phone(folder.resolve("flows"), wang)
        val seen = CopyOnWriteArrayList<SyncProgress>()
        assertTrue(phone.sync { seen += it } is Synced.Done)
        assertTrue(seen.last().documents > 0uL)
        val job = phone.today().first().jobs.single()
        assertEquals(Stage.PLANNING, job.stage)
        val days = CopyOnWriteArrayList<Stage>()
        val flows = listOf(
            launch { phone.today().collect { days += it.jobs.single().stage } },
            launch { phone.badge().collect {} },
            launch { phone.changes().toList() },
            launch { phone.keepSynced() },
        )
        withTimeout(20_000) { while (days.isEmpty()) kotlinx.coroutines.delay(5) }
        assertTrue(phone.execute(Command.OpenVisit(order)) is Executed.Done)
        val before = Instant.now()
        assertTrue(phone.execute(arrived(job.visit, phone)) is Executed.Done)
        withTimeout(20_000) { while (days.last() != Stage.ON_SITE) kotlinx.coroutines.delay(5) }
        // What is kept synced goes by itself.
        withTimeout(20_000) { phone.badge().first { it.unsentChanges == 0uL && it.safeToHandIn } }
        val event = phone.show(Doc(Kind.VISIT, job.visit)).content.let { it as com.onsite.engine.Content.Visit }.v1.events.single()
        assertTrue(Duration.between(before, event.mark.at.at).abs() < Duration.ofMinutes(1))
        phone.close()
        withTimeout(20_000) { flows.forEach { it.join() } }
    }

    @Test
    fun `flows end with a phone that is closed in the middle of its changes`() = runBlocking<Unit> {
        val zhou = office.technician("周工")
        val order = office.job(customer, zhou, "液压站油温偏高")
        var phone = office.phone(folder.resolve("ending"), zhou)
        assertTrue(phone.sync() is Synced.Done)
        val visit = phone.today().first().jobs.single().visit
        assertTrue(phone.execute(Command.OpenVisit(order)) is Executed.Done)
        repeat(30) {
            val heard = CopyOnWriteArrayList<Status>()
            val flows = listOf(
                launch(Dispatchers.IO) { phone.badge().collect { heard += it } },
                launch(Dispatchers.IO) { phone.today().collect {} },
                launch(Dispatchers.IO) { phone.keepSynced() },
            )
            withTimeout(20_000) { while (heard.isEmpty()) kotlinx.coroutines.delay(1) }
            assertTrue(phone.execute(arrived(visit, phone)) is Executed.Done)
            phone.close()
            withTimeout(20_000) { flows.forEach { it.join() } }
            phone = Phone.open(folder.resolve("ending"), "test 1.0")
        }
        phone.close()
    }

    @Test
    fun `the sample of the README runs`() = runBlocking<Unit> {
        val wang = office.technician("王工")
        office.job(customer, wang, "液压站油温偏高")
        val stages = CopyOnWriteArrayList<Stage>()
        val badges = CopyOnWriteArrayList<Status>()
        val reports = mutableListOf<SyncReport>()
        val screen = object : Screen {
            override fun today(today: Today) { stages += today.jobs.single().stage }
            override fun badge(badge: Status) { badges += badge }
            override fun refused(field: String, detail: String) = fail<Unit>("$field: $detail")
            override fun synced(report: SyncReport) { reports += report }
            override fun enrolAgain() = fail<Unit>("not enrolled")
            override fun retryAfter(wait: Duration?) = fail<Unit>("retry after $wait")
        }
        val phone = day(folder.resolve("sample"), office.url, office.code(wang), screen, this)
        assertTrue(reports.single().accepted >= 2uL, "$reports")
        withTimeout(20_000) { while (stages.lastOrNull() != Stage.ON_SITE) kotlinx.coroutines.delay(5) }
        withTimeout(20_000) { while (badges.lastOrNull()?.safeToHandIn != true) kotlinx.coroutines.delay(5) }
        phone.close()
    }

    @Test
    fun `a refusal and a lost network are results`() = runBlocking<Unit> {
        val order = office.job(customer, li, "异响")
        office.phone(folder.resolve("results"), li).use { phone ->
            assertTrue(phone.sync() is Synced.Done)
            phone.execute(Command.OpenVisit(order))
            val visit = phone.show(Doc(Kind.WORK_ORDER, order)).currentVisit!!
            val refused = phone.execute(Command.AddNote(visit, phone.newId(), "  ")) as Executed.Refused
            assertEquals("empty" to "text", refused.code to refused.field)
            assertThrows(OnsiteException.NotFound::class.java) {
                runBlocking { phone.show(Doc(Kind.VISIT, UUID.randomUUID())) }
            }
            office.stop()
            assertTrue(phone.sync() is Synced.Offline)
            assertThrows(OnsiteException.UnsentWork::class.java) { runBlocking { phone.engine.signOut() } }
            office.start()
            assertTrue(phone.sync() is Synced.Done)
        }
        Phone.open(folder.resolve("nobody"), "junit 1.0").use { assertTrue(it.sync() is Synced.Unauthorized) }
    }

    @Test
    fun `a cancelled sync can be done again`() = runBlocking<Unit> {
        office.phone(folder.resolve("cancelled"), li).use { phone ->
            repeat(20) { n ->
                // From not even begun to well under way.
                val sync = async(Dispatchers.Default, CoroutineStart.UNDISPATCHED) { phone.sync() }
                kotlinx.coroutines.delay(n.toLong())
                sync.cancel()
                try {
                    assertTrue(sync.await() is Synced.Done)
                } catch (_: CancellationException) {
                    // As asked.
                }
            }
            assertTrue(phone.sync() is Synced.Done)
            assertTrue(phone.engine.status().documents > 0uL)
            val token = com.onsite.engine.CancelToken().apply { cancel() }
            assertThrows(OnsiteException.Cancelled::class.java) { runBlocking { phone.engine.sync(token) } }
        }
    }

    @Test
    fun `after its end every call says so, and the file is free`() = runBlocking<Unit> {
        val phone = office.phone(folder.resolve("closed"), li)
        val subscription = phone.engine.keepSynced()
        phone.close()
        phone.close()
        subscription.stop()
        val calls: List<suspend () -> Any?> = listOf(
            { phone.engine.status() },
            { phone.today().first() },
            { phone.list(Kind.VISIT).toList() },
            { phone.sync() },
            { phone.execute(Command.OpenVisit(UUID.randomUUID())) },
            { phone.engine.keepSynced() },
        )
        for (call in calls) assertThrows(OnsiteException.ShutDown::class.java) { runBlocking { call() } }
        Phone.open(folder.resolve("closed"), "junit 1.0").use { assertTrue(it.engine.status().enrolled) }
    }

    @Test
    fun `the engine's threads are a fixed few`() = runBlocking<Unit> {
        val threads = ManagementFactory.getThreadMXBean()
        suspend fun work(name: String) = office.phone(folder.resolve(name), li).use { phone ->
            phone.sync { }
            val heard = launch { phone.changes().collect {} }
            List(200) { async(Dispatchers.Default) { phone.engine.status() } }.awaitAll()
            repeat(20) {
                val report = Command.ReportRepair(phone.newId(), null, "纸厂", "张三", "029-88886666", "西安", null, "漏油 $it", null)
                assertTrue(phone.execute(report) is Executed.Done)
            }
            heard.cancel()
        }
        repeat(2) { work("warm-$it") }
        val (there, started) = threads.threadCount to threads.totalStartedThreadCount
        repeat(10) { work("threads-$it") }
        assertTrue(threads.threadCount <= there + 10, "${threads.threadCount} threads after $there")
        // Thousands of calls came from the engine meanwhile; none may have made a thread of its own.
        val more = threads.totalStartedThreadCount - started
        assertTrue(more < 100, "$more threads were started")
        assertFalse(Thread.getAllStackTraces().keys.any { it.name == "onsite" && !it.isDaemon })
    }
}
