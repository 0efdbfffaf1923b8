import Foundation
import OnsiteKit
import XCTest

/// What a Swift app expects of its library besides the story.
final class PhoneTests: XCTestCase {
    private func report(_ phone: Phone) -> Command {
        .reportRepair(
            id: phone.newId(), customer: nil, customerName: "西安纸托厂", contactName: "张三", contactPhone: "029-88886666",
            address: "西安", equipment: nil, problem: "液压站油温偏高", reported: nil)
    }

    func testStreamsShowWhatBecomesOfTheDayAndEndWithThePhone() async throws {
        let folder = try folder()
        let office = try await Office(folder.appendingPathComponent("server"))
        defer { office.stop() }
        let phone = try await office.phone(folder.appendingPathComponent("phone"))
        let seen = Seen()
        let synced = try await phone.sync { seen.add($0.documents) }
        guard case .done = synced else { return XCTFail("\(synced)") }
        XCTAssertGreaterThan(seen.last ?? 0, 0)
        async let kept: Void = phone.keepSynced()
        let badge = Task {
            var all: [UInt64] = []
            for try await status in phone.badge() { all.append(status.unsentChanges) }
            return all
        }
        var requests = phone.today().makeAsyncIterator()
        let before = try await requests.next()
        XCTAssertEqual(before?.requests.count, 0)
        guard case .done(let docs) = try await phone.execute(report(phone)) else { return XCTFail("refused") }
        XCTAssertEqual(docs.first?.kind, .request)
        let after = try await requests.next()
        XCTAssertEqual(after?.requests.count, 1)
        // What is kept synced goes by itself.
        for try await status in phone.badge() where status.unsentChanges == 0 && status.safeToHandIn { break }
        try await phone.close()
        try await kept
        let badges = try await badge.value
        XCTAssertFalse(badges.isEmpty)
    }

    func testStreamsEndWithAPhoneThatIsClosedInTheMiddleOfItsChanges() async throws {
        let folder = try folder()
        let office = try await Office(folder.appendingPathComponent("server"))
        defer { office.stop() }
        var phone = try await office.phone(folder.appendingPathComponent("phone"))
        guard case .done = try await phone.sync() else { return XCTFail("not synced") }
        for _ in 0..<30 {
            let open = phone
            let seen = Seen()
            let badge = Task { for try await status in open.badge() { seen.add(status.unsentChanges) } }
            let today = Task { for try await _ in open.today() {} }
            for _ in 0..<4_000 where seen.last == nil { try await Task.sleep(nanoseconds: 1_000_000) }
            guard case .done = try await phone.execute(report(phone)) else { return XCTFail("refused") }
            try await phone.close()
            try await badge.value
            try await today.value
            XCTAssertNotNil(seen.last)
            phone = try await Phone.open(folder: folder.appendingPathComponent("phone"), app: "xctest 1.0")
        }
        try await phone.close()
    }

    func testTheSampleOfTheReadmeRuns() async throws {
        let folder = try folder()
        let office = try await Office(folder.appendingPathComponent("server"))
        defer { office.stop() }
        let technician = try await office.technician()
        try await office.job(technician, customer: "西安纸托厂", text: "液压站油温偏高")
        let screen = Shown()
        let phone = try await day(
            folder: folder.appendingPathComponent("phone"), server: office.url,
            code: try await office.code(technician), screen: screen)
        XCTAssertGreaterThanOrEqual(screen.accepted, 2)
        for _ in 0..<4_000 where !screen.isOver { try await Task.sleep(nanoseconds: 5_000_000) }
        XCTAssertTrue(screen.isOver, "neither arrived nor safe to hand in")
        try await phone.close()
    }

    func testARefusalAndALostNetworkAreResults() async throws {
        let folder = try folder()
        let office = try await Office(folder.appendingPathComponent("server"))
        defer { office.stop() }
        let phone = try await office.phone(folder.appendingPathComponent("phone"))
        guard case .done = try await phone.sync() else { return XCTFail("not synced") }
        let refused = try await phone.execute(.suggest(id: phone.newId(), title: " ", text: "x", workOrder: nil))
        guard case .refused("empty", "title", _) = refused else { return XCTFail("\(refused)") }
        office.stop()
        guard case .offline = try await phone.sync() else { return XCTFail("not offline") }
        try await phone.close()
        let nobody = try await Phone.open(folder: folder.appendingPathComponent("nobody"), app: "xctest 1.0")
        guard case .unauthorized = try await nobody.sync() else { return XCTFail("not enrolled") }
        try await nobody.close()
    }

    func testACancelledTaskEndsItsSyncWhichCanBeDoneAgain() async throws {
        let folder = try folder()
        let office = try await Office(folder.appendingPathComponent("server"))
        defer { office.stop() }
        let phone = try await office.phone(folder.appendingPathComponent("phone"))
        var cancelled = 0
        for n in 0..<20 {
            let sync = Task { try await phone.sync() }
            try await Task.sleep(nanoseconds: UInt64(n) * 1_000_000)
            sync.cancel()
            do {
                guard case .done = try await sync.value else { return XCTFail("neither done nor cancelled") }
            } catch is CancellationError {
                cancelled += 1
            }
        }
        XCTAssertGreaterThan(cancelled, 0)
        guard case .done = try await phone.sync() else { return XCTFail("not synced") }
        let documents = try await phone.engine.status().documents
        XCTAssertGreaterThan(documents, 0)
        try await phone.close()
    }

    func testAfterItsEndEveryCallSaysSo() async throws {
        let folder = try folder()
        let phone = try await Phone.open(folder: folder, app: "xctest 1.0")
        try await phone.close()
        try await phone.close()
        let calls: [() async throws -> Void] = [
            { _ = try await phone.engine.status() },
            { for try await _ in phone.today() {} },
            { for try await _ in phone.list(.visit) {} },
            { _ = try await phone.sync() },
            { try await phone.keepSynced() },
            { _ = try phone.changes() },
        ]
        for (n, call) in calls.enumerated() {
            do {
                try await call()
                XCTFail("call \(n) did not fail")
            } catch OnsiteError.ShutDown {
                // As it should.
            }
        }
        let again = try await Phone.open(folder: folder, app: "xctest 1.0")
        try await again.close()
    }

    func testTenThousandWorkOrdersArePagedEachOnce() async throws {
        guard let made = ProcessInfo.processInfo.environment["ONSITE_MANY"] else {
            throw XCTSkip("no phone with 10,000 work orders was made")
        }
        let folder = try folder().appendingPathComponent("phone")
        try FileManager.default.copyItem(atPath: made, toPath: folder.path)
        let phone = try await Phone.open(folder: folder, app: "xctest 1.0")
        var ids: Set<UUID> = []
        var count = 0
        for try await line in phone.list(.workOrder) {
            ids.insert(line.summary.doc.id)
            count += 1
        }
        XCTAssertEqual(count, 10_000)
        XCTAssertEqual(ids.count, 10_000)
        try await phone.close()
    }
}

private final class Seen: @unchecked Sendable {
    private let lock = NSLock()
    private var all: [UInt64] = []
    func add(_ n: UInt64) { lock.withLock { all.append(n) } }
    var last: UInt64? { lock.withLock { all.last } }
}

private final class Shown: Screen, @unchecked Sendable {
    private let lock = NSLock()
    private var stage: Stage?
    private var safe = false
    private var sent: UInt64 = 0
    func show(_ today: Today) { lock.withLock { stage = today.jobs.first?.stage } }
    func show(_ badge: Status) { lock.withLock { safe = badge.safeToHandIn } }
    func show(_ report: SyncReport) { lock.withLock { sent = UInt64(report.accepted) } }
    func refused(_ field: String, _ detail: String) { XCTFail("\(field): \(detail)") }
    func enrolAgain() { XCTFail("not enrolled") }
    func retry(after milliseconds: Int64?) { XCTFail("retry after \(milliseconds ?? 0) ms") }
    var accepted: UInt64 { lock.withLock { sent } }
    var isOver: Bool { lock.withLock { safe && stage == .onSite } }
}
