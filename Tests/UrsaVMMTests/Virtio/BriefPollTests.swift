import Testing
import UrsaBase

@testable import UrsaVMM

struct BriefPollTests {
    @Test func `short sleeps make the look longer, up to a limit, and one long sleep ends it`() {
        var poll = BriefPoll(isWorthwhile: true)
        #expect(poll.limit == 0)
        var before: UInt64 = 0
        for _ in 0..<10 {
            poll.learn(10_000)
            #expect(poll.limit > before || poll.limit == BriefPoll.longest)
            before = poll.limit
        }
        #expect(poll.limit == BriefPoll.longest)
        poll.learn(BriefPoll.longest + 1)
        #expect(poll.limit == 0)
    }

    @Test func `whoever was idle is not looked for at all`() {
        let poll = BriefPoll(isWorthwhile: true)
        var looks = 0
        let found = poll.finds {
            looks += 1
            return true
        }
        #expect(!found)
        #expect(looks == 0)
    }

    @Test func `threads that share one processor with the guest never look`() {
        var poll = BriefPoll(isWorthwhile: false)
        poll.learn(1000)
        #expect(poll.limit == 0)
    }

    @Test func `a look ends with the work, or with its time`() {
        var poll = BriefPoll(isWorthwhile: true)
        poll.learn(1000)
        var looks = 0
        let found = poll.finds {
            looks += 1
            // Before the first glance at the clock, so that it does not matter how slow this is.
            return looks == 10
        }
        #expect(found)
        #expect(looks == 10)
        let start = Deadline.now
        let foundNothing = poll.finds { false }
        #expect(!foundNothing)
        #expect(Deadline.now.nanoseconds - start.nanoseconds >= poll.limit)
    }
}
