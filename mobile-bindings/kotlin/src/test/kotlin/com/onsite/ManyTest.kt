package com.onsite

import com.onsite.engine.Kind
import com.onsite.engine.ListOf
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path

/** A phone that holds ten thousand work orders: `ONSITE_MANY` is a folder that such a phone's records lie in. */
@EnabledIfEnvironmentVariable(named = "ONSITE_MANY", matches = ".+", disabledReason = "no phone with 10,000 work orders was made")
class ManyTest {
    @Test
    fun `ten thousand work orders are paged, each once`(@TempDir folder: Path) = runBlocking<Unit> {
        Path.of(System.getenv("ONSITE_MANY")).toFile().copyRecursively(folder.toFile(), overwrite = true)
        Phone.open(folder, "junit 1.0").use { phone ->
            val first = phone.engine.list(ListOf(Kind.WORK_ORDER, null), null)
            assertTrue(first.lines.size in 20..200 && first.next != null, "a page is about fifty")
            val orders = phone.list(Kind.WORK_ORDER).toList()
            assertEquals(10_000, orders.size)
            assertEquals(10_000, orders.map { it.summary.doc.id }.toSet().size)
            assertTrue(phone.search("纸浆模塑7厂").toList().isNotEmpty())
        }
    }
}
