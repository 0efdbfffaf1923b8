package com.onsite

import com.onsite.engine.Command
import com.onsite.engine.EventKind
import com.onsite.engine.Status
import com.onsite.engine.SyncReport
import com.onsite.engine.Today
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import java.nio.file.Path
import java.time.Duration

/** What an app shows. */
interface Screen {
    fun today(today: Today)
    fun badge(badge: Status)
    fun refused(field: String, detail: String)
    fun synced(report: SyncReport)
    fun enrolAgain()
    fun retryAfter(wait: Duration?)
}

// The README's sample, word for word.
suspend fun day(folder: Path, server: String, code: String, screen: Screen, scope: CoroutineScope): Phone {
    val phone = Phone.open(folder, "my app 1.0")
    phone.enrol(server, code, "phone of Li")
    phone.sync()
    scope.launch { phone.today().collect { screen.today(it) } }     // works without a network from here on
    scope.launch { phone.badge().collect { screen.badge(it) } }     // again at every change

    val job = phone.today().first().jobs.first()
    println("${job.line.summary.title} ${job.stage}")
    phone.execute(Command.OpenVisit(job.line.summary.doc.id))
    val arrived = Command.RecordEvent(job.visit, phone.newId(), EventKind.ARRIVED, null, null, null)
    when (val done = phone.execute(arrived)) {
        is Executed.Done -> {}                                      // durable, and queued to be sent
        is Executed.Refused -> screen.refused(done.field, done.detail)
    }
    when (val synced = phone.sync()) {
        is Synced.Done -> screen.synced(synced.report)
        is Synced.Offline -> {}                                     // it stays queued
        is Synced.Unauthorized -> screen.enrolAgain()
        is Synced.Problem -> screen.retryAfter(synced.retryAfter)
    }
    return phone
}
