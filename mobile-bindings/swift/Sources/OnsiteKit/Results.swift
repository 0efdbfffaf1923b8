import OnsiteEngine

/// What came of a command.
public enum Executed: Sendable, Equatable {
    /// Durable on this device and queued to be sent: the documents that changed, none where everything was so already.
    case done([Doc])
    /// A rule does not allow it; nothing was written. Show it at its field. The code is stable, also the message
    /// key `reject.<code>`; the field is empty where it is none in particular; the detail is in English.
    case refused(code: String, field: String, detail: String)
}

/// What came of a sync. What was done before it ended stays done.
public enum Synced: Sendable, Equatable {
    /// Nothing waits any more: what was sent, received and refused.
    case done(SyncReport)
    /// No network, or no answer: what was written stays queued. Try again later.
    case offline(detail: String)
    /// The server does not know this device any more, or it was never enrolled: enrol.
    case unauthorized(detail: String)
    /// The server answered with a problem: HTTP status, stable code, milliseconds to wait where it said so.
    case problem(status: UInt16, code: String, detail: String, retryAfterMs: Int64?)
}

func executed(_ work: () async throws -> [Doc]) async throws -> Executed {
    do {
        return .done(try await work())
    } catch let OnsiteError.Refused(code, field, detail) {
        return .refused(code: code, field: field, detail: detail)
    }
}

func synced(_ work: () async throws -> SyncReport) async throws -> Synced {
    do {
        return .done(try await work())
    } catch let OnsiteError.Offline(detail) {
        return .offline(detail: detail)
    } catch let OnsiteError.Unauthorized(detail) {
        return .unauthorized(detail: detail)
    } catch OnsiteError.NotEnrolled {
        return .unauthorized(detail: "not enrolled")
    } catch let OnsiteError.Server(status, code, detail, retryAfterMs) {
        return .problem(status: status, code: code, detail: detail, retryAfterMs: retryAfterMs)
    }
}
