import Foundation
#if canImport(FoundationNetworking)
import FoundationNetworking
#endif
import OnsiteKit

/// A value of JSON.
enum JSON: Codable, Equatable {
    case null, bool(Bool), number(Int64), real(Double), string(String), array([JSON]), object([String: JSON])

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let bool = try? value.decode(Bool.self) {
            self = .bool(bool)
        } else if let number = try? value.decode(Int64.self) {
            self = .number(number)
        } else if let real = try? value.decode(Double.self) {
            self = .real(real)
        } else if let text = try? value.decode(String.self) {
            self = .string(text)
        } else if let list = try? value.decode([JSON].self) {
            self = .array(list)
        } else {
            self = .object(try value.decode([String: JSON].self))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var value = encoder.singleValueContainer()
        switch self {
        case .null: try value.encodeNil()
        case .bool(let bool): try value.encode(bool)
        case .number(let number): try value.encode(number)
        case .real(let real): try value.encode(real)
        case .string(let text): try value.encode(text)
        case .array(let list): try value.encode(list)
        case .object(let members): try value.encode(members)
        }
    }

    init(parsing text: String) throws {
        self = try JSONDecoder().decode(JSON.self, from: Data(text.utf8))
    }

    /// An id as the office's API writes it.
    static func id(_ id: UUID) -> JSON { .string(id.uuidString.lowercased()) }

    subscript(key: String) -> JSON {
        if case .object(let members) = self { members[key] ?? .null } else { .null }
    }
    var text: String? { if case .string(let text) = self { text } else { nil } }
    var number: Int64? { if case .number(let number) = self { number } else { nil } }
    var list: [JSON] { if case .array(let list) = self { list } else { [] } }
    var encoded: Data { (try? JSONEncoder().encode(self)) ?? Data() }
}

struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// The repository's root.
let root: URL = {
    var folder = URL(fileURLWithPath: #filePath)
    while !FileManager.default.fileExists(atPath: folder.appendingPathComponent("Cargo.lock").path) {
        folder.deleteLastPathComponent()
    }
    return folder
}()

/// A fresh folder.
func folder() throws -> URL {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("onsite-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    return folder
}

/// A real server process on a folder of its own, and somebody with every office role signed in there.
final class Office {
    private let folder: URL
    private let port = Int.random(in: 20_000..<60_000)
    private let session = URLSession(configuration: .ephemeral)
    private var server: Process?
    private var cookie = ""
    var url: String { "http://127.0.0.1:\(port)" }

    init(_ folder: URL, company: String = "浆模设备公司") async throws {
        self.folder = folder
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try run(["company", "add", company])
        let roles = ["admin", "service_manager", "clerk", "warehouse"].flatMap { ["--role", $0] }
        let user = ["user", "add", "--company", company, "--login", "boss", "--name", "赵经理", "--password-stdin"]
        try run(user + roles, input: "a long passphrase")
        try await start()
        let body = JSON.object(["login": .string("boss"), "password": .string("a long passphrase")])
        let (_, answer) = try await session.data(for: request("/api/session", body))
        let set = answer as? HTTPURLResponse
        cookie = String((set?.value(forHTTPHeaderField: "set-cookie") ?? "").prefix { $0 != ";" })
    }

    private func process(_ args: [String]) -> Process {
        let process = Process()
        let given = ProcessInfo.processInfo.environment
        // What is said to the tests is no key of the server's configuration.
        var environment = given.filter { !$0.key.hasPrefix("ONSITE_") }
        let program = given["ONSITE_BIN"] ?? root.appendingPathComponent("target/debug/onsite").path
        environment["ONSITE_DATA"] = folder.path
        environment["ONSITE_LISTEN"] = "127.0.0.1:\(port)"
        environment["ONSITE_AUTH__INSECURE_COOKIES"] = "true"
        process.executableURL = URL(fileURLWithPath: program)
        process.arguments = args
        process.environment = environment
        return process
    }

    private func run(_ args: [String], input: String = "") throws {
        let (process, stdin, out) = (process(args), Pipe(), Pipe())
        (process.standardInput, process.standardOutput, process.standardError) = (stdin, out, out)
        try process.run()
        stdin.fileHandleForWriting.write(Data(input.utf8))
        try stdin.fileHandleForWriting.close()
        let printed = out.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Failure("onsite \(args): \(String(decoding: printed, as: UTF8.self))")
        }
    }

    private func request(_ path: String, _ body: JSON? = nil) -> URLRequest {
        var request = URLRequest(url: URL(string: url + path)!)
        request.setValue("application/json", forHTTPHeaderField: "content-type")
        request.setValue(url, forHTTPHeaderField: "origin")
        request.setValue(cookie, forHTTPHeaderField: "cookie")
        if let body {
            request.httpMethod = "POST"
            request.httpBody = body.encoded
        }
        return request
    }

    /// Starts it, again too.
    func start() async throws {
        let process = process(["serve"])
        let log = folder.appendingPathComponent("server.log")
        _ = FileManager.default.createFile(atPath: log.path, contents: nil)
        let file = try FileHandle(forWritingTo: log)
        (process.standardOutput, process.standardError) = (file, file)
        try process.run()
        server = process
        for _ in 0..<300 {
            if let (_, answer) = try? await session.data(for: request("/readyz")),
                (answer as? HTTPURLResponse)?.statusCode == 200
            {
                return
            }
            try await Task.sleep(nanoseconds: 100_000_000)
        }
        throw Failure("the server does not start: \((try? String(contentsOf: log, encoding: .utf8)) ?? "")")
    }

    /// Kills it: the phones have no network.
    func stop() {
        guard let server else { return }
        kill(server.processIdentifier, SIGKILL)
        server.waitUntilExit()
        self.server = nil
    }

    /// Asks the office's API; with a body, posts it.
    @discardableResult
    func ask(_ path: String, _ body: JSON? = nil) async throws -> JSON {
        let (data, answer) = try await session.data(for: request(path, body))
        let status = (answer as? HTTPURLResponse)?.statusCode ?? 0
        guard status < 300 else { throw Failure("\(path) \(status): \(String(decoding: data, as: UTF8.self))") }
        return data.isEmpty ? .null : try JSONDecoder().decode(JSON.self, from: data)
    }

    /// A one-time code for a technician's phone.
    func code(_ technician: UUID) async throws -> String {
        let asked = JSON.object(["staff": .id(technician)])
        guard let code = try await ask("/api/device-codes", asked)["code"].text else { throw Failure("no code") }
        return code
    }

    private func execute(_ command: String, _ fields: [String: JSON]) async throws {
        try await ask("/api/commands", .object(fields.merging(["do": .string(command)]) { $1 }))
    }

    /// A new technician.
    func technician() async throws -> UUID {
        let id = UUID()
        try await execute("put_staff", [
            "id": .id(id), "name": .string("李工"), "code": .string(String(id.uuidString.prefix(8))),
            "phone": .string(""), "roles": .array([.string("technician")]),
        ])
        return id
    }

    /// A technician's work order for a new customer, due now so that it is among today's at any hour.
    func job(_ technician: UUID, customer name: String, text: String) async throws {
        let (customer, order) = (UUID(), UUID())
        try await execute("put_customer", [
            "id": .id(customer), "name": .string(name), "code": .string(""), "project_completed": .null,
            "call_interval_days": .null,
        ])
        try await execute("open_work_order", [
            "id": .id(order), "customer": .id(customer), "equipment": .null, "work_type": .string("repair"),
            "request": .null, "follow_on_of": .null, "service_description": .string(text),
            "arrival_deadline": .number(Int64(Date().timeIntervalSince1970 * 1000)),
        ])
        try await execute("assign", [
            "id": .id(order), "technicians": .array([.id(technician)]), "reason": .string(""),
        ])
    }

    /// A new technician's phone, enrolled.
    func phone(_ folder: URL) async throws -> Phone {
        let id = try await technician()
        let phone = try await Phone.open(folder: folder, app: "xctest 1.0")
        _ = try await phone.enrol(server: url, code: try await code(id), deviceName: "phone")
        return phone
    }
}
