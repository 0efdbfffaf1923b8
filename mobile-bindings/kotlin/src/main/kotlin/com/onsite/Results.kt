package com.onsite

import com.onsite.engine.Doc
import com.onsite.engine.OnsiteException
import com.onsite.engine.SyncReport
import java.time.Duration

/** What came of a command. */
public sealed interface Executed {
    /**
     * Durable on this device and queued to be sent.
     *
     * @property docs the documents that changed; none where everything was so already
     */
    public data class Done(public val docs: List<Doc>) : Executed

    /**
     * A rule does not allow it; nothing was written. Show it at its field.
     *
     * @property code stable, also the message key `reject.<code>`
     * @property field the field concerned; empty where it is none in particular
     * @property detail in words, in English
     */
    public data class Refused(public val code: String, public val field: String, public val detail: String) : Executed
}

/** What came of a sync. What was done before it ended stays done. */
public sealed interface Synced {
    /**
     * Nothing waits any more.
     *
     * @property report what was sent, received and refused
     */
    public data class Done(public val report: SyncReport) : Synced

    /**
     * No network, or no answer: what was written stays queued. Try again later.
     *
     * @property detail in words, for a log
     */
    public data class Offline(public val detail: String) : Synced

    /**
     * The server does not know this device any more, or it was never enrolled: enrol.
     *
     * @property detail in words, for a log
     */
    public data class Unauthorized(public val detail: String) : Synced

    /**
     * The server answered with a problem.
     *
     * @property status HTTP status
     * @property code stable code
     * @property detail in words, for a log
     * @property retryAfter how long to wait, where the server said so
     */
    public data class Problem(
        public val status: Int,
        public val code: String,
        public val detail: String,
        public val retryAfter: Duration?,
    ) : Synced
}

internal inline fun executed(work: () -> List<Doc>): Executed = try {
    Executed.Done(work())
} catch (e: OnsiteException.Refused) {
    Executed.Refused(e.code, e.field, e.detail)
}

internal inline fun synced(work: () -> SyncReport): Synced = try {
    Synced.Done(work())
} catch (e: OnsiteException.Offline) {
    Synced.Offline(e.detail)
} catch (e: OnsiteException.Unauthorized) {
    Synced.Unauthorized(e.detail)
} catch (e: OnsiteException.NotEnrolled) {
    Synced.Unauthorized("not enrolled")
} catch (e: OnsiteException.Server) {
    Synced.Problem(e.status.toInt(), e.code, e.detail, e.retryAfterMs?.let(Duration::ofMillis))
}
