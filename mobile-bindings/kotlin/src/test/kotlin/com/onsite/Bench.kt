package com.onsite

import com.onsite.engine.Command
import com.onsite.engine.Kind
import com.onsite.engine.ListOf
import kotlinx.coroutines.runBlocking
import java.nio.file.Path
import java.util.Locale

/** Turns before those counted: the JVM compiles what runs often. */
private const val WARM = 3_000
private const val TURNS = 300

private suspend fun measure(name: String, warm: Int = WARM, call: suspend () -> Unit) {
    repeat(warm) { call() }
    val took = List(TURNS) {
        val begin = System.nanoTime()
        call()
        System.nanoTime() - begin
    }
    println("$name ${String.format(Locale.ROOT, "%.1f", took.sorted()[TURNS / 2] / 1e3)}")
}

/** The calls that a screen makes, on a phone's folder: a line each, its median in microseconds. */
fun main(args: Array<String>) = runBlocking {
    Phone.open(Path.of(args[0]), "bench 1.0").use { phone ->
        val order = phone.engine.list(ListOf(Kind.WORK_ORDER, null), null).lines.first().summary.doc
        val visit = phone.engine.list(ListOf(Kind.VISIT, null), null).lines.first().summary.doc
        measure("today") { check(phone.engine.today(null).jobs.size >= 40) }
        measure("show") { phone.show(order) }
        measure("search", 300) { check(phone.engine.search("张三", null).lines.size == 50) }
        var n = 0
        measure("edit", 50) {
            n += 1
            val text = "更换主泵密封圈, 试机两小时。第${n}次检查。"
            check(phone.execute(Command.EditText(visit, "resolution", text, emptyList())) is Executed.Done)
        }
    }
}
