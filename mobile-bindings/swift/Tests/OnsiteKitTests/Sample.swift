import Foundation
import OnsiteKit

/// What an app shows.
protocol Screen: Sendable {
    func show(_ today: Today)
    func show(_ badge: Status)
    func show(_ report: SyncReport)
    func refused(_ field: String, _ detail: String)
    func enrolAgain()
    func retry(after milliseconds: Int64?)
}

// The README's sample, word for word.
func day(folder: URL, server: String, code: String, screen: any Screen) async throws -> Phone {
    let phone = try await Phone.open(folder: folder, app: "my app 1.0")
    _ = try await phone.enrol(server: server, code: code, deviceName: "phone of Li")
    _ = try await phone.sync()
    Task { for try await today in phone.today() { screen.show(today) } }    // works without a network from here on
    Task { for try await badge in phone.badge() { screen.show(badge) } }    // again at every change

    let job = try await phone.engine.today().jobs[0]
    print(job.line.summary.title, job.stage)
    _ = try await phone.execute(.openVisit(workOrder: job.line.summary.doc.id))
    let arrived = Command.recordEvent(
        visit: job.visit, id: phone.newId(), event: .arrived, at: nil, position: nil, corrects: nil)
    switch try await phone.execute(arrived) {
    case .done: break                                                       // durable, and queued to be sent
    case .refused(_, let field, let detail): screen.refused(field, detail)
    }
    switch try await phone.sync() {
    case .done(let report): screen.show(report)
    case .offline: break                                                    // it stays queued
    case .unauthorized: screen.enrolAgain()
    case .problem(_, _, _, let retryAfterMs): screen.retry(after: retryAfterMs)
    }
    return phone
}
