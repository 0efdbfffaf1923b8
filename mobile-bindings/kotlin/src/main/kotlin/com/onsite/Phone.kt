package com.onsite

import com.onsite.engine.ChangeListener
import com.onsite.engine.Command
import com.onsite.engine.Detail
import com.onsite.engine.Doc
import com.onsite.engine.Identity
import com.onsite.engine.Kind
import com.onsite.engine.Line
import com.onsite.engine.ListOf
import com.onsite.engine.NewPhoto
import com.onsite.engine.Onsite
import com.onsite.engine.OnsiteException
import com.onsite.engine.OpenOptions
import com.onsite.engine.Page
import com.onsite.engine.SyncProgress
import com.onsite.engine.ProgressListener
import com.onsite.engine.Status
import com.onsite.engine.Today
import kotlinx.coroutines.CompletableJob
import kotlinx.coroutines.Job
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.channels.awaitClose
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.buffer
import kotlinx.coroutines.flow.callbackFlow
import kotlinx.coroutines.flow.conflate
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.filter
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.transformWhile
import kotlinx.coroutines.withContext
import java.nio.file.Path
import java.time.LocalDate
import java.util.UUID

/**
 * One phone's records: works without a network, and syncs when there is one.
 *
 * ```
 * val phone = Phone.open(folder, "my app 1.0")
 * phone.enrol("https://onsite.example", code, "phone of Li")
 * phone.sync()
 * phone.today().collect { today -> show(today.jobs) }
 * ```
 *
 * Open it once in a process and hold on to it. Every call may be made on any
 * thread, the main thread too: the work is done on threads of the engine's.
 * Cancelling a coroutine ends its call; what had been done stays done.
 *
 * Moments are [java.time.Instant], days [LocalDate], ids [UUID], money integer
 * fen (1/100 yuan). Calls throw an [OnsiteException], whose subclass says what
 * an app does about it; what every app must expect, a refused command and a
 * sync without a network, is a result: [Executed], [Synced].
 *
 * @property engine every call there is, as generated
 */
public class Phone private constructor(public val engine: Onsite) {
    /** Ends with this phone, and with it every flow. */
    private val life: CompletableJob = Job()

    /** A fresh id for what a command creates: chosen by the app, so that doing it twice does it once. */
    public fun newId(): UUID = engine.newId()

    /** Whose this phone is; `null` before enrolment. */
    public suspend fun identity(): Identity? = engine.identity()

    /**
     * Enrols this phone by the office's one-time code (of its QR, or typed). Needs the network.
     *
     * @throws OnsiteException.Server with `wrong_code` and the like
     * @throws OnsiteException.UnsentWork where the file holds another person's unsent work
     */
    public suspend fun enrol(server: String, code: String, deviceName: String): Identity =
        engine.enrol(server, code, deviceName)

    /** Does a command: durable and queued when this returns [Executed.Done]. */
    public suspend fun execute(command: Command): Executed = executed { engine.execute(command) }

    /** As [execute], any command there is, as the JSON that the office's API takes. */
    public suspend fun executeJson(command: String): Executed = executed { engine.executeJson(command) }

    /** Stores a photo durably and links it; it is sent after texts and signatures. */
    public suspend fun addPhoto(photo: NewPhoto, bytes: ByteArray): Executed = executed { engine.addPhoto(photo, bytes) }

    /** Everything about one document. */
    public suspend fun show(doc: Doc): Detail = engine.show(doc)

    /** One document as it is and as it becomes. Ends with [close]. */
    public fun watch(doc: Doc): Flow<Detail> = live({ doc in it }) { engine.show(doc) }

    /** The day's work (today's where no day is given) as it is and as it becomes. Ends with [close]. */
    public fun today(day: LocalDate? = null): Flow<Today> = live { engine.today(day) }

    /** The badge as it is and as it becomes: what waits, and whether the phone may be handed in. Ends with [close]. */
    public fun badge(): Flow<Status> = live { engine.status() }

    /** Documents of a kind, newest due first, fetched page by page as they are collected. */
    public fun list(kind: Kind, status: String? = null): Flow<Line> = paged { engine.list(ListOf(kind, status), it) }

    /** Full-text search over numbers, names, phones and texts, fetched page by page as it is collected. */
    public fun search(words: String): Flow<Line> = paged { engine.search(words, it) }

    /** Syncs until nothing waits. [progress] is told at most ten times a second, on a thread of the engine's. */
    public suspend fun sync(progress: ((SyncProgress) -> Unit)? = null): Synced {
        val listener = progress?.let {
            object : ProgressListener {
                override fun progressed(progress: SyncProgress) = it(progress)
            }
        }
        return synced { engine.sync(null, listener) }
    }

    /**
     * Syncs in the background (at every edit, when the server calls, and again
     * after errors with growing waits) until the coroutine is cancelled or the phone closed.
     */
    public suspend fun keepSynced() {
        val subscription = engine.keepSynced()
        try {
            life.join()
        } finally {
            subscription.stop()
            subscription.close()
        }
    }

    /** The documents that change, by own commands and by syncs. Ends with [close]. */
    public fun changes(): Flow<Set<Doc>> = notices().filter { it.isNotEmpty() }

    /** Ends background work and flows, and closes the file; every later call throws [OnsiteException.ShutDown]. */
    public suspend fun close() {
        life.complete()
        withContext(NonCancellable) { engine.shutDown() }
    }

    /** The changes, after an empty notice that listening has begun. */
    private fun notices(): Flow<Set<Doc>> = callbackFlow {
        val subscription = engine.watch(
            object : ChangeListener {
                override fun changed(docs: List<Doc>) {
                    trySend(docs.toSet())
                }
            },
        )
        trySend(emptySet())
        val ended = life.invokeOnCompletion { close() }
        awaitClose {
            ended.dispose()
            subscription.stop()
            subscription.close()
        }
    }.buffer(Channel.UNLIMITED)

    private fun <T> live(concerns: (Set<Doc>) -> Boolean = { true }, ask: suspend () -> T): Flow<T> =
        notices().filter { it.isEmpty() || concerns(it) }.conflate().transformWhile {
            val answer = try {
                ask()
            } catch (ended: OnsiteException.ShutDown) {
                // A change that was told just before the end.
                if (life.isCompleted) return@transformWhile false
                throw ended
            }
            emit(answer)
            true
        }.distinctUntilChanged()

    private fun paged(ask: suspend (String?) -> Page): Flow<Line> = flow {
        var after: String? = null
        do {
            val page = ask(after)
            page.lines.forEach { emit(it) }
            after = page.next
        } while (after != null)
    }

    public companion object {
        /**
         * Opens the records in a folder of the app's own (not in its backups), made where there is none.
         *
         * @param app the app's name and version, for the office to see
         * @param key the database's key, 32 bytes of the app's key store, where it is encrypted
         * @param newKey encrypts with this key from now on; keep both until this returns
         * @throws OnsiteException.WrongKey where the records are encrypted with another key
         * @throws OnsiteException.Unreadable where the file is damaged or of a newer version: keep it, call for help
         * @throws OnsiteException.Locked where another process has it open
         */
        public suspend fun open(folder: Path, app: String, key: ByteArray? = null, newKey: ByteArray? = null): Phone {
            Threads.prepare()
            return Phone(Onsite.open(OpenOptions(folder.toString(), app, key, newKey)))
        }
    }
}

/** Runs [block] with this phone and closes it, however that ends. */
public suspend inline fun <R> Phone.use(block: (Phone) -> R): R = try {
    block(this)
} finally {
    close()
}
