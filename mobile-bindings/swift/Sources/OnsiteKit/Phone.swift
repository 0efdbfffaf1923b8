import Foundation
@_exported import OnsiteEngine

/// One phone's records: works without a network, and syncs when there is one.
///
///     let phone = try await Phone.open(folder: folder, app: "my app 1.0")
///     _ = try await phone.enrol(server: "https://onsite.example", code: code, deviceName: "phone of Li")
///     _ = try await phone.sync()
///     for try await today in phone.today() { show(today.jobs) }
///
/// Open it once in a process and hold on to it. Every call may be made from any
/// actor, the main actor too: the work is done on threads of the engine's.
/// Cancelling a task ends its sync; what had been done stays done.
///
/// Moments are `Date`, days `Day` (`2026-11-28`), ids `UUID`, money integer fen
/// (1/100 yuan). Calls throw an `OnsiteError`, whose case says what an app does
/// about it; what every app must expect, a refused command and a sync without
/// a network, is a result: ``Executed``, ``Synced``.
public final class Phone: Sendable {
    /// Every call there is, as generated.
    public let engine: Onsite
    private let life = Life()

    private init(_ engine: Onsite) {
        self.engine = engine
    }

    /// Opens the records in a folder of the app's own (not in its backups), made where there is none.
    ///
    /// `key` is the database's key, 32 bytes of the keychain, where it is encrypted; with `newKey` it is from now
    /// on: keep both until this returns. Throws `OnsiteError.WrongKey` where it is encrypted with another key, and
    /// `OnsiteError.Unreadable` where the file is damaged or of a newer version: keep it, call for help.
    public static func open(folder: URL, app: String, key: Data? = nil, newKey: Data? = nil) async throws -> Phone {
        let options = OpenOptions(folder: folder.path, app: app, key: key, newKey: newKey)
        return Phone(try await Onsite.open(options: options))
    }

    /// A fresh id for what a command creates: chosen by the app, so that doing it twice does it once.
    public func newId() -> UUID {
        engine.newId()
    }

    /// Whose this phone is; nil before enrolment.
    public func identity() async throws -> Identity? {
        try await engine.identity()
    }

    /// Enrols this phone by the office's one-time code (of its QR, or typed). Needs the network.
    public func enrol(server: String, code: String, deviceName: String) async throws -> Identity {
        try await engine.enrol(server: server, code: code, deviceName: deviceName)
    }

    /// Does a command: durable and queued when this answers `done`.
    public func execute(_ command: Command) async throws -> Executed {
        try await executed { try await engine.execute(command: command) }
    }

    /// As ``execute(_:)``, any command there is, as the JSON that the office's API takes.
    public func execute(json command: String) async throws -> Executed {
        try await executed { try await engine.executeJson(command: command) }
    }

    /// Stores a photo durably and links it; it is sent after texts and signatures.
    public func add(_ photo: NewPhoto, bytes: Data) async throws -> Executed {
        try await executed { try await engine.addPhoto(photo: photo, bytes: bytes) }
    }

    /// Everything about one document.
    public func show(_ doc: Doc) async throws -> Detail {
        try await engine.show(doc: doc)
    }

    /// One document as it is and as it becomes. Ends with ``close()``.
    public func watch(_ doc: Doc) -> AsyncThrowingStream<Detail, any Error> {
        live(concerns: { $0.contains(doc) }) { try await $0.show(doc: doc) }
    }

    /// The day's work (today's where no day is given) as it is and as it becomes. Ends with ``close()``.
    public func today(_ day: Day? = nil) -> AsyncThrowingStream<Today, any Error> {
        live { try await $0.today(day: day) }
    }

    /// The badge as it is and as it becomes: what waits, and whether the phone may be handed in. Ends with ``close()``.
    public func badge() -> AsyncThrowingStream<Status, any Error> {
        live { try await $0.status() }
    }

    /// Documents of a kind, newest due first, fetched page by page as they are asked for.
    public func list(_ kind: Kind, status: String? = nil) -> Lines {
        Lines { [engine] in try await engine.list(of: ListOf(kind: kind, status: status), after: $0) }
    }

    /// Full-text search over numbers, names, phones and texts, fetched page by page as it is asked for.
    public func search(_ words: String) -> Lines {
        Lines { [engine] in try await engine.search(words: words, after: $0) }
    }

    /// Syncs until nothing waits. `progress` is told at most ten times a second, on a thread of the engine's.
    ///
    /// Throws `CancellationError` where the task is cancelled.
    public func sync(progress: (@Sendable (SyncProgress) -> Void)? = nil) async throws -> Synced {
        let listener = progress.map(ProgressHeard.init)
        return try await synced {
            try await cancellable { try await engine.sync(cancel: $0, progress: listener) }
        }
    }

    /// A photo's bytes from the server. Throws `CancellationError` where the task is cancelled.
    public func fetchPhoto(_ blob: String) async throws -> Data {
        try await cancellable { try await engine.fetchPhoto(blob: blob, cancel: $0) }
    }

    /// Syncs in the background (at every edit, when the server calls, and again after errors with growing
    /// waits) until the task is cancelled or the phone closed.
    public func keepSynced() async throws {
        let subscription = try engine.keepSynced()
        defer { subscription.stop() }
        let (over, continuation) = AsyncStream.makeStream(of: Never.self)
        let place = life.add { continuation.finish() }
        defer { life.remove(place) }
        for await _ in over {}
    }

    /// The documents that change, by own commands and by syncs. Ends with ``close()``.
    public func changes() throws -> AsyncStream<Set<Doc>> {
        try notices()
    }

    /// Ends background work and streams, and closes the file; every later call throws `OnsiteError.ShutDown`.
    public func close() async throws {
        life.end()
        try await engine.shutDown()
    }

    private func notices() throws -> AsyncStream<Set<Doc>> {
        let (stream, continuation) = AsyncStream.makeStream(of: Set<Doc>.self)
        let subscription = try engine.watch(listener: ChangesHeard { continuation.yield($0) })
        let place = life.add { continuation.finish() }
        continuation.onTermination = { [life] _ in
            life.remove(place)
            subscription.stop()
        }
        return stream
    }

    private func live<T: Sendable & Equatable>(
        concerns: @escaping @Sendable (Set<Doc>) -> Bool = { _ in true },
        _ ask: @escaping @Sendable (Onsite) async throws -> T
    ) -> AsyncThrowingStream<T, any Error> {
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: T.self, bufferingPolicy: .bufferingNewest(1))
        let task = Task {
            do {
                // Listens before it asks, so that nothing is missed in between.
                let notices = try notices()
                do {
                    var last = try await ask(engine)
                    continuation.yield(last)
                    for await docs in notices where concerns(docs) {
                        let now = try await ask(engine)
                        if now != last {
                            continuation.yield(now)
                            last = now
                        }
                    }
                } catch OnsiteError.ShutDown where life.over {
                    // A change that was told just before the end.
                }
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
            }
        }
        continuation.onTermination = { _ in task.cancel() }
        return stream
    }
}

/// Swift's cancellation does not reach the engine by itself: a token does.
private func cancellable<T: Sendable>(_ call: (CancelToken) async throws -> T) async throws -> T {
    let token = CancelToken()
    return try await withTaskCancellationHandler {
        do {
            return try await call(token)
        } catch OnsiteError.Cancelled {
            throw CancellationError()
        }
    } onCancel: {
        token.cancel()
    }
}

/// The lines of a list, a page at a time.
public struct Lines: AsyncSequence, Sendable {
    public typealias Element = Line
    let ask: @Sendable (String?) async throws -> Page

    /// Goes through the lines, asking for the next page where one ends.
    public struct AsyncIterator: AsyncIteratorProtocol {
        let ask: @Sendable (String?) async throws -> Page
        var lines: ArraySlice<Line> = []
        var after: String?
        var begun = false

        public mutating func next() async throws -> Line? {
            while lines.isEmpty {
                if begun && after == nil { return nil }
                let page = try await ask(after)
                (lines, after, begun) = (page.lines[...], page.next, true)
            }
            return lines.removeFirst()
        }
    }

    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(ask: ask)
    }
}

private final class ChangesHeard: ChangeListener {
    let heard: @Sendable (Set<Doc>) -> Void

    init(_ heard: @escaping @Sendable (Set<Doc>) -> Void) {
        self.heard = heard
    }

    func changed(docs: [Doc]) throws {
        heard(Set(docs))
    }
}

private final class ProgressHeard: ProgressListener {
    let heard: @Sendable (SyncProgress) -> Void

    init(_ heard: @escaping @Sendable (SyncProgress) -> Void) {
        self.heard = heard
    }

    func progressed(progress: SyncProgress) throws {
        heard(progress)
    }
}

/// What ends when the phone is closed.
private final class Life: @unchecked Sendable {
    private let lock = NSLock()
    private var next = 0
    private var ends: [Int: @Sendable () -> Void]? = [:]

    var over: Bool { lock.withLock { ends == nil } }

    /// Does `end` at the end; at once where that was before.
    func add(_ end: @escaping @Sendable () -> Void) -> Int {
        let (place, over) = lock.withLock {
            next += 1
            ends?[next] = end
            return (next, ends == nil)
        }
        if over { end() }
        return place
    }

    func remove(_ place: Int) {
        lock.withLock { _ = ends?.removeValue(forKey: place) }
    }

    func end() {
        let all = lock.withLock {
            defer { ends = nil }
            return ends ?? [:]
        }
        for end in all.values { end() }
    }
}
