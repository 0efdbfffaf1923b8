// The calls that a screen makes, on a phone's folder: a line each, its median in microseconds.
import Foundation
import OnsiteKit

let warm = 50
let turns = 300

@MainActor
func measure(_ name: String, _ call: () async throws -> Void) async throws {
    var took: [Double] = []
    for n in 0..<warm + turns {
        let begin = ContinuousClock.now
        try await call()
        let (seconds, attoseconds) = (ContinuousClock.now - begin).components
        if n >= warm { took.append(Double(seconds) * 1e6 + Double(attoseconds) / 1e12) }
    }
    print(name, String(format: "%.1f", took.sorted()[turns / 2]))
}

let phone = try await Phone.open(folder: URL(fileURLWithPath: CommandLine.arguments[1]), app: "bench 1.0")
let order = try await phone.engine.list(of: ListOf(kind: .workOrder)).lines[0].summary.doc
let visit = try await phone.engine.list(of: ListOf(kind: .visit)).lines[0].summary.doc
try await measure("today") {
    let jobs = try await phone.engine.today().jobs.count
    precondition(jobs >= 40)
}
try await measure("show") { _ = try await phone.show(order) }
try await measure("search") {
    let found = try await phone.engine.search(words: "张三").lines.count
    precondition(found == 50)
}
var n = 0
try await measure("edit") {
    n += 1
    let text = "更换主泵密封圈, 试机两小时。第\(n)次检查。"
    _ = try await phone.execute(.editText(doc: visit, field: "resolution", text: text, seen: []))
}
try await phone.close()
