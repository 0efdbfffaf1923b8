import Foundation
import OnsiteKit
import XCTest

/// A word as stored: `onSite` is `on_site`.
private func word(_ value: Any?) -> JSON {
    guard let value else { return .null }
    return .string("\(value)".reduce(into: "") { $0 += $1.isUppercase ? "_\($1.lowercased())" : "\($1)" })
}

private func words(_ texts: [String]) -> JSON { .array(texts.sorted().map(JSON.string)) }
private func number(_ value: some BinaryInteger) -> JSON { .number(Int64(value)) }

/// The case of an enum of words, from a word as stored.
private func find<T: CaseIterable>(_ text: JSON) throws -> T {
    guard let found = T.allCases.first(where: { word($0) == text }) else { throw Failure("no \(T.self): \(text)") }
    return found
}

/// Where it is not as expected: how.
private func differs(_ expected: JSON, _ found: JSON, _ at: String = "") -> String? {
    let no = "\(at): expected \(expected), found \(found)"
    switch (expected, found) {
    case (.object(let members), _):
        if let least = members["at_least"]?.number { return (found.number ?? 0) >= least ? nil : no }
        if let parts = members["holds"]?.list {
            let holds = parts.allSatisfy { part in
                if case .array(let list) = found { return list.contains(part) }
                return found.text?.contains(part.text ?? "?") ?? false
            }
            return holds ? nil : no
        }
        return members.lazy.compactMap { differs($1, found[$0], "\(at)/\($0)") }.first
    case (.array(let e), .array(let f)) where e.count == f.count:
        return zip(e, f).lazy.compactMap { differs($0, $1, at + "/…") }.first
    default:
        return expected == found ? nil : no
    }
}

private func failure(_ error: OnsiteError) -> JSON {
    let name = Mirror(reflecting: error).children.first?.label ?? "\(error)"
    let snake = word(name.prefix(1).lowercased() + name.dropFirst())
    switch error {
    case .Refused(let code, let field, _):
        return .object(["error": snake, "code": .string(code), "field": .string(field)])
    case .Invalid(let field, _): return .object(["error": snake, "field": .string(field)])
    case .Server(_, let code, _, _): return .object(["error": snake, "code": .string(code)])
    default: return .object(["error": snake])
    }
}

private func shown(_ detail: Detail) throws -> JSON {
    var found: [String: JSON] = [
        "title": .string(detail.summary.title),
        "stage": word(detail.stage),
        "clashes": words(detail.clashes.map(\.path)),
        "delivery": word(detail.delivery),
        "explained": words(detail.explanations.map(\.key)),
        "numbered": .bool(!detail.summary.number.isEmpty),
    ]
    switch detail.content {
    case .visit(let v):
        found["resolution"] = .string(v.resolution)
        found["notes"] = words(v.notes.map(\.text))
        found["outcome"] = word(v.outcome)
        found["satisfaction"] = word(v.satisfaction)
        found["accepted"] = v.acceptance.map { .bool($0.accepted) } ?? .null
        found["events"] = words(v.events.compactMap { word($0.kind).text })
        found["used"] = .object(.init(uniqueKeysWithValues: v.items.map { ($0.name, number($0.used)) }))
        found["checks"] = .object(.init(uniqueKeysWithValues: v.checks.map { ($0.key, word($0.result)) }))
        found["photos"] = number(v.photos.count)
        found["receipts"] = number(v.receipts.map(\.amount).reduce(0, +))
        found["signature"] = word(detail.signature)
    case .workOrder(let o):
        found["service_description"] = .string(o.dispatch.serviceDescription)
        found["technicians"] = number(o.assignments.count)
        found["items"] = .object(.init(uniqueKeysWithValues: o.dispatch.items.map { ($0.name, number($0.required)) }))
        found["visits"] = number(detail.visits.count)
        found["entitlement"] = word(detail.entitlement?.entitlement)
    case .customer(let c):
        found["name"] = .string(c.name)
        found["contacts"] = words(c.contacts.map(\.name))
    default: throw Failure("the story looks at no such document: \(detail.content)")
    }
    return .object(found)
}

/// The typed command, where this player knows it.
private func typed(_ c: JSON) throws -> Command? {
    func id(_ key: String) -> UUID { UUID(uuidString: c[key].text ?? "") ?? UUID() }
    func text(_ key: String) -> String { c[key].text ?? "" }
    switch text("do") {
    case "open_visit": return .openVisit(workOrder: id("work_order"))
    case "record_event":
        let p = c["position"]
        let position = p == .null ? nil : Position(
            latE7: Int32(p["lat_e7"].number ?? 0), lonE7: Int32(p["lon_e7"].number ?? 0),
            accuracyM: UInt32(p["accuracy_m"].number ?? 0))
        return .recordEvent(
            visit: id("visit"), id: id("id"), event: try find(c["event"]), at: nil, position: position, corrects: nil)
    case "inspect":
        return .inspect(visit: id("visit"), check: text("check"), result: try find(c["result"]), note: text("note"))
    case "use_item":
        return .useItem(
            visit: id("visit"), item: id("item"), partNo: text("part_no"), name: text("name"), unit: text("unit"),
            used: c["used"].number ?? 0, takenBack: c["taken_back"].number ?? 0)
    case "add_note": return .addNote(visit: id("visit"), id: id("id"), text: text("text"))
    case "edit_text":
        let doc = Doc(kind: try find(c["doc"]["kind"]), id: UUID(uuidString: c["doc"]["id"].text ?? "") ?? UUID())
        return .editText(doc: doc, field: text("field"), text: text("text"), seen: c["seen"].list.compactMap(\.text))
    case "set_outcome":
        let why: IncompleteReason? = c["incomplete_reason"] == .null ? nil : try find(c["incomplete_reason"])
        return .setOutcome(
            visit: id("visit"), outcome: try find(c["outcome"]), incompleteReason: why, remarks: text("remarks"))
    case "accept": return .accept(visit: id("visit"), accepted: c["accepted"] == .bool(true), remark: text("remark"))
    case "rate":
        return .rate(visit: id("visit"), satisfaction: try find(c["satisfaction"]), reasons: [], comment: text("comment"))
    case "take_payment":
        return .takePayment(
            visit: id("visit"), id: id("id"), amount: c["amount"].number ?? 0, method: try find(c["method"]),
            reference: text("reference"))
    default: return nil
    }
}

/// `tests/fixtures/story.json`, as every language plays it.
final class StoryTests: XCTestCase {
    private var names: [String: UUID] = [:]
    private var phones: [String: Phone] = [:]

    private func id(_ name: String) -> UUID {
        if names[name] == nil { names[name] = UUID() }
        return names[name]!
    }

    private func meant(_ value: JSON) -> JSON {
        switch value {
        case .object(let members): .object(members.mapValues(meant))
        case .array(let list): .array(list.map(meant))
        case .string("$now"): .number(Int64(Date().timeIntervalSince1970 * 1000))
        case .string(let name) where name.hasPrefix("$"): JSON.id(id(name))
        default: value
        }
    }

    private func act(_ name: String, _ step: JSON, _ office: Office, _ folder: URL) async throws -> JSON {
        if step["opens"] != .null {
            phones[name] = try await Phone.open(folder: folder.appendingPathComponent(name), app: "story 1.0")
            return .null
        }
        let phone = phones[name]!
        if let staff = step["enrols"].text {
            _ = try await phone.enrol(server: office.url, code: try await office.code(id(staff)), deviceName: name)
        } else if step["syncs"] != .null {
            let r = try await phone.engine.sync()
            let report: [String: JSON] = [
                "accepted": number(r.accepted), "refused": number(r.refused), "received": number(r.received),
                "uploaded": number(r.uploaded),
            ]
            XCTAssertNil(differs(step["syncs"], .object(report)), "\(r)")
        } else if step["does"] != .null {
            let command = meant(step["does"])
            if let known = try typed(command) {
                _ = try await phone.engine.execute(command: known)
            } else {
                _ = try await phone.engine.executeJson(command: String(decoding: command.encoded, as: UTF8.self))
            }
        } else if let visit = step["adds_photo_to"].text {
            let doc = Doc(kind: .visit, id: id(visit))
            let photo = NewPhoto(doc: doc, id: phone.newId(), mediaType: "image/png", caption: "铭牌", check: nil)
            var bytes = Data([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A])
            bytes.append(Data(count: Int(step["bytes"].number!) - bytes.count))
            _ = try await phone.add(photo, bytes: bytes)
        } else if let path = step["chooses"].text {
            let doc = Doc(kind: .visit, id: id(step["of"].text!))
            let clash = try await phone.show(doc).clashes.first { $0.path == path }!
            let value = try clash.values.first { try JSON(parsing: $0.value) == step["value"] }!
            _ = try await phone.engine.execute(command: .chooseClash(doc: doc, path: path, choice: value.change))
        } else if let visit = step["signs"].text {
            let form = try await phone.engine.toSign(visit: id(visit))
            _ = try await phone.engine.execute(
                command: .sign(
                    visit: id(visit), name: step["name"].text!, strokes: step["strokes"].text!, heads: form.heads,
                    content: form.content))
        } else if step["resends"] != .null {
            for edit in try await phone.engine.refused() { _ = try await phone.engine.resend(refused: edit.id) }
        } else if step["decided"] != .null {
            let edit = try await phone.engine.refused()[Int(step["edit"].number!)]
            let path = "/api/set-aside/\(edit.doc.id.uuidString.lowercased())/\(edit.change)"
            try await office.ask(path, meant(step["decided"]))
        } else if step["settles"] != .null {
            for edit in try await phone.engine.refused() { try await phone.engine.dismiss(refused: edit.id) }
        } else if step["signs_out"] != .null {
            try await phone.engine.signOut()
        } else if step["closes"] != .null {
            try await phone.close()
        } else if let visit = step["visit"].text {
            names[visit] = try await phone.show(Doc(kind: .workOrder, id: id(step["of"].text!))).currentVisit
        } else {
            return try await sees(phone, step["sees"].text!, step["of"].text ?? "")
        }
        return .null
    }

    private func sees(_ phone: Phone, _ what: String, _ of: String) async throws -> JSON {
        switch what {
        case "status":
            let s = try await phone.engine.status()
            return .object([
                "enrolled": .bool(s.enrolled), "documents": number(s.documents), "unsent": number(s.unsentChanges),
                "blobs": number(s.blobsWaiting), "refused": number(s.refused), "clashed": number(s.clashed),
                "safe": .bool(s.safeToHandIn),
            ])
        case "ready":
            let r = try await phone.engine.readyToLeave()
            return .object(["ready": .bool(r.ready), "missing": .array(r.missing.map { .string($0.key) })])
        case "today":
            let t = try await phone.engine.today()
            let jobs = t.jobs.map {
                JSON.object([
                    "customer": .string($0.customerName), "address": .string($0.serviceAddress), "stage": word($0.stage),
                ])
            }
            return .object(["jobs": .array(jobs), "requests": number(t.requests.count)])
        case "search", "list":
            var titles: [String] = []
            for try await line in what == "search" ? phone.search(of) : phone.list(try find(.string(of))) {
                titles.append(line.summary.title)
            }
            return .object(["titles": words(titles)])
        case "form":
            let form = try await phone.engine.renderForm(doc: Doc(kind: .visit, id: id(of)), language: .zhCn)
            return .object(["text": .string(form)])
        case "refused":
            let edits = try await phone.engine.refused().map { edit in
                JSON.object([
                    "code": .string(edit.code), "kind": word(edit.doc.kind),
                    "wrote": .string(edit.leaves.map(\.mine).joined()),
                    "decision": edit.decision.map { .string($0.verdict) } ?? .null,
                    "reason": edit.decision.map { .string($0.reason) } ?? .null,
                ])
            }
            return .object(["edits": .array(edits)])
        default:
            return try shown(try await phone.show(Doc(kind: try find(.string(what)), id: id(of))))
        }
    }

    func testTheStoryThatEveryLanguagePlays() async throws {
        let folder = try folder()
        let text = try String(contentsOf: root.appendingPathComponent("tests/fixtures/story.json"), encoding: .utf8)
        let story = try JSON(parsing: text)
        let office = try await Office(folder.appendingPathComponent("server"), company: story["company"].text!)
        defer { office.stop() }
        for step in story["steps"].list where step["chapter"] == .null {
            if step["server"] == .string("down") {
                office.stop()
            } else if step["server"] == .string("up") {
                try await office.start()
            } else if step["office"] != .null {
                try await office.ask("/api/commands", meant(step["office"]))
            } else if let doc = step["office_sees"].text {
                let found = try await office.ask("/api/documents/\(id(doc).uuidString.lowercased())")
                XCTAssertNil(differs(step["is"], found), "\(step)")
            } else {
                do {
                    let found = try await act(step["phone"].text!, step, office, folder)
                    XCTAssertEqual(step["fails"], .null, "it did not fail: \(step)")
                    if step["is"] != .null { XCTAssertNil(differs(step["is"], found), "\(step)") }
                } catch let error as OnsiteError {
                    if step["fails"] == .null { throw error }
                    XCTAssertNil(differs(step["fails"], failure(error)), "\(step): \(error)")
                }
            }
        }
    }
}
