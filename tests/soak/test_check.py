# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The soak's checker against hand-made logs: a sound one passes, and each thing that can
go wrong is noticed, and called by its name."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "live")]

import check  # noqa: E402
from records import PEER  # noqa: E402

R = 1000                 # the rid of the session request


class Story:
    """One session's records; time goes on with each."""

    def __init__(self, **terms):
        self.records, self.now, self.name = [], 100.0, "s1"
        self.add("C.open", {"acks": False, "site": "main", "wait": 10, "requests": 2,
                            "inactivity": 25, **terms})
        self.ask(R, "create").answer(R)
        self.add("S.open")

    def add(self, event, *rest):
        self.now += 0.1
        self.records.append([self.now, event, self.name] + list(rest))
        return self

    def fault(self, *what):
        self.now += 0.1
        self.records.append([self.now, "H.fault"] + list(what))
        return self

    def note(self, what, pid):
        self.now += 0.1
        self.records.append([self.now, "H.note", what, pid])
        return self

    def late(self, seconds):
        self.records.append([self.now, "H.late", seconds])
        return self

    def wait(self, seconds):
        self.now += seconds
        return self

    def ask(self, rid, kind="poll", up=()):
        return self.add("C.send", rid, kind, [[n, "u%d" % n] for n in up], "bytes%d" % rid)

    def again(self, rid):
        return self.add("C.again", rid, "bytes%d" % rid)

    def answer(self, rid, down=(), sha=None, type=None, condition=None, begin=None):
        return self.add("C.recv", rid, 200, type, condition, None,
                        [[n, "d%d" % n, "message/chat"] for n in down],
                        sha or "answer%d" % rid, begin)

    def status(self, rid, status, after=None):
        return self.add("C.recv", rid, status, after, None, None, [], "", None)

    def lost(self, rid, why="closed", part=None):
        return self.add("C.lost", rid, why, part)

    def gets(self, *numbers):
        return self.add("S.recv", [[n, "u%d" % n if isinstance(n, int) else "x"]
                                   for n in numbers])

    def sends(self, *numbers, kind="message/chat"):
        return self.add("S.sent", [[n, "d%d" % n, kind] for n in numbers])

    def bounce(self, number, name="message/error", kind="wait", condition="recipient-unavailable",
               to=PEER):
        return self.add("S.bounce", [[number, name, "error", kind, condition, to]])

    def terminate(self, rid):
        return self.ask(rid, "terminate").answer(rid, type="terminate")

    def end(self, why="told", eof="closed"):
        return self.add("S.eof", eof).add("C.end", why)

    def rules(self, *more):
        self.checker = check.check(sorted(self.records + list(more), key=lambda r: r[0]))
        return set(self.checker.rules)


def ordinary():
    """Two stanzas up, three down, and the client's own end."""
    return (Story().ask(R + 1).sends(0, 1).answer(R + 1, [0, 1])
            .ask(R + 2, "data", up=[0, 1]).gets(0, 1).answer(R + 2)
            .ask(R + 3).sends(2).answer(R + 3, [2]))


def vanished(**terms):
    """The client leaves while one stanza is on its way to it."""
    return (Story(inactivity=4, **terms).ask(R + 1).sends(0).answer(R + 1, [0])
            .ask(R + 2).add("C.end", "vanished").sends(1).wait(5))


def test_sound_session_passes():
    story = ordinary().terminate(R + 4).end()
    assert story.rules() == set()
    count = story.checker.count
    assert (count["up"], count["down"], count["sessions"]) == (2, 3, 1)
    assert dict(story.checker.causes) == {"terminated": 1}


def test_lost_answer_that_is_repeated_passes():
    story = (ordinary().ask(R + 4).sends(3).lost(R + 4, "cut in the answer", [70, "begin"])
             .again(R + 4).answer(R + 4, [3], begin=[70, "begin"]).terminate(R + 5).end())
    assert story.rules() == set()


def test_answers_are_taken_in_the_order_of_rids():
    story = (Story().ask(R + 1).ask(R + 2, "data", up=[0]).gets(0).sends(0).lost(R + 1).sends(1)
             .answer(R + 2, [1]).again(R + 1).answer(R + 1, [0]).terminate(R + 3).end())
    assert story.rules() == set()


def test_bounced_at_the_end_passes():
    assert vanished().bounce(1).add("S.eof", "closed").rules() == set()


def test_presence_need_not_bounce():
    story = (Story(inactivity=4).ask(R + 1).add("C.end", "vanished").sends(0, kind="presence")
             .wait(5).add("S.eof", "closed"))
    assert story.rules() == set()


# ---- up -----------------------------------------------------------------------------


def test_accepted_and_never_sent():
    story = ordinary().ask(R + 4, "data", up=[2]).answer(R + 4).terminate(R + 5).end()
    assert story.rules() == {"up-lost"}


def test_gap():
    story = ordinary().ask(R + 4, "data", up=[2, 3]).gets(3).answer(R + 4).terminate(R + 5).end()
    assert story.rules() == {"up-lost"}


def test_gap_is_wrong_however_the_stream_ended():
    story = (ordinary().ask(R + 4, "data", up=[2, 3]).gets(3).add("S.fault", "reset")
             .answer(R + 4, type="terminate", condition="remote-connection-failed").end(eof="cut"))
    assert story.rules() == {"up-lost"}


def test_payload_of_the_last_request_is_lost():
    story = ordinary().ask(R + 4, "terminate", up=[2]).answer(R + 4, type="terminate").end()
    assert story.rules() == {"up-lost"}


def test_first_half_of_a_body():
    story = (ordinary().ask(R + 4, "data", up=[2, 3]).gets(2).add("C.end", "vanished").wait(30)
             .add("S.eof", "closed"))
    assert story.rules() == {"up-lost"}


def test_unanswered_request_may_be_lost_as_a_whole():
    story = (ordinary().ask(R + 4, "data", up=[2, 3]).lost(R + 4).add("C.end", "vanished")
             .wait(30).add("S.eof", "closed"))
    assert story.rules() == set()


def test_server_reset_may_cost_what_was_last():
    story = (ordinary().ask(R + 4, "data", up=[2, 3]).add("S.fault", "reset").answer(R + 4)
             .ask(R + 5).answer(R + 5, type="terminate", condition="remote-connection-failed")
             .end(eof="cut"))
    assert story.rules() == set()
    assert story.checker.count["up, not known"] == 2


@pytest.mark.parametrize("seconds,rules", [(check.FORWARD + 1, {"up-lost"}), (1, set())])
def test_what_was_accepted_long_before_the_reset_was_sent(seconds, rules):
    story = (ordinary().ask(R + 4, "data", up=[2]).answer(R + 4).wait(seconds)
             .add("S.fault", "reset").ask(R + 5)
             .answer(R + 5, type="terminate", condition="remote-connection-failed").end(eof="cut"))
    assert story.rules() == rules


def test_doubled_up():
    assert ordinary().gets(1).terminate(R + 4).end().rules() == {"up-doubled"}


def test_reordered_up():
    story = ordinary().ask(R + 4, "data", up=[2, 3]).gets(3, 2).answer(R + 4).terminate(R + 5).end()
    assert story.rules() == {"up-reordered"}


def test_altered_up():
    story = ordinary().ask(R + 4, "data", up=[2]).add("S.recv", [[2, "other"]]).answer(R + 4)
    assert story.terminate(R + 5).end().rules() == {"up-altered"}


def test_invented_up():
    assert ordinary().gets(7).terminate(R + 4).end().rules() == {"up-altered"}


def test_refused_body_that_goes_up():
    story = ordinary().add("C.bad", R + 4, ["x1"], 200, "terminate", "bad-request").gets("x1")
    assert story.terminate(R + 4).end().rules() == {"up-refused"}


@pytest.mark.parametrize("answer", [(200, None, None), (400, None, None),
                                    (200, "terminate", "item-not-found")])
def test_bad_body_that_is_not_refused(answer):
    story = ordinary().add("C.bad", R + 4, ["x1"], *answer)
    assert story.terminate(R + 4).end().rules() == {"not-refused"}


def test_what_is_no_xml_is_sent_up():
    story = ordinary().add("S.bad", "not well-formed")
    assert story.terminate(R + 4).end().rules() == {"bad-stream"}


# ---- down ---------------------------------------------------------------------------


def test_lost_down():
    story = ordinary().sends(3, 4).ask(R + 4).answer(R + 4, [4]).terminate(R + 5).end()
    assert story.rules() == {"down-lost"}


def test_doubled_down():
    assert (ordinary().ask(R + 4).answer(R + 4, [2]).terminate(R + 5).end().rules()
            == {"down-doubled"})


def test_reordered_down():
    story = ordinary().sends(3, 4).ask(R + 4).answer(R + 4, [4, 3]).terminate(R + 5).end()
    assert story.rules() == {"down-reordered"}


def test_altered_down():
    story = ordinary().add("S.sent", [[3, "other", "message/chat"]]).ask(R + 4).answer(R + 4, [3])
    assert story.terminate(R + 5).end().rules() == {"down-altered"}


def test_altered_repeat():
    story = ordinary().again(R + 3).answer(R + 3, [2], sha="other").terminate(R + 4).end()
    assert story.rules() == {"repeat-altered"}


def test_repeat_that_begins_otherwise():
    story = (ordinary().ask(R + 4).lost(R + 4, "cut in the answer", [70, "begin"]).again(R + 4)
             .answer(R + 4, begin=[70, "other"]).terminate(R + 5).end())
    assert story.rules() == {"repeat-altered"}


def test_neither_seen_nor_bounced():
    story = vanished(acks=True).add("S.eof", "closed")
    assert story.rules() == {"not-bounced"}


def test_neither_seen_nor_bounced_beside_one_that_was():
    story = (vanished(acks=True).sends(2).wait(5).bounce(1).add("S.eof", "closed"))
    assert story.rules() == {"not-bounced"}


@pytest.mark.parametrize("acks", [True, False])
def test_presumed_received_without_acks_only(acks):
    story = (Story(inactivity=4, acks=acks).ask(R + 1).sends(0).ask(R + 2, "data", up=[0])
             .gets(0).add("C.end", "vanished").wait(5).add("S.eof", "closed"))
    assert story.rules() == ({"not-bounced"} if acks else set())


def test_undelivered_to_a_client_that_terminates():
    story = ordinary().sends(3).wait(5).terminate(R + 4).end()
    assert story.rules() == {"not-bounced"}


def test_stanza_that_crosses_the_closing_tag():
    story = ordinary().terminate(R + 4).sends(3).end()
    assert story.rules() == set()
    assert story.checker.count["crossed the closing tag"] == 1


def test_server_that_closes_is_heard_to_the_end():
    story = (ordinary().ask(R + 4).sends(3).add("S.fault", "fin")
             .answer(R + 4, type="terminate", condition="remote-connection-failed").end(eof="cut"))
    assert story.rules() == {"down-lost"}


@pytest.mark.parametrize("wrong", [{"condition": "service-unavailable"}, {"kind": "cancel"},
                                   {"name": "iq/error"}, {"to": None}])
def test_bounced_wrongly(wrong):
    assert vanished().bounce(1, **wrong).add("S.eof", "closed").rules() == {"bounced-wrongly"}


@pytest.mark.parametrize("kind", ["message/error", "iq/result", "iq/error", "presence"])
def test_what_must_not_bounce(kind):
    story = (Story(inactivity=4).ask(R + 1).add("C.end", "vanished").sends(0, kind=kind).wait(5)
             .bounce(0).add("S.eof", "closed"))
    assert story.rules() == {"bounced-wrongly"}


def test_bounced_twice():
    assert (vanished().bounce(1).bounce(1).add("S.eof", "closed").rules()
            == {"bounced-wrongly"})


def test_seen_last_and_bounced_passes():
    story = vanished().bounce(0).bounce(1).add("S.eof", "closed")
    assert story.rules() == set()
    assert story.checker.count["seen and bounced"] == 1


def test_seen_after_the_end_was_asked_for_and_bounced_passes():
    story = (ordinary().ask(R + 4).ask(R + 5, "terminate").sends(3).bounce(3).answer(R + 4, [3])
             .answer(R + 5, type="terminate").end())
    assert story.rules() == set()


def test_seen_but_not_to_be_acknowledged_and_bounced_passes():
    """An earlier answer was missing, so that the client could not say what it had."""
    story = (Story(acks=True).ask(R + 1).ask(R + 2, "data", up=[0]).gets(0).sends(0).lost(R + 1)
             .answer(R + 2, [0]).again(R + 1).ask(R + 3, "terminate").bounce(0).answer(R + 1)
             .answer(R + 3, type="terminate").end())
    assert story.rules() == set()


def test_seen_long_before_and_bounced():
    story = ordinary()
    for rid in range(R + 4, R + 8):
        story.ask(rid).answer(rid)
    assert story.terminate(R + 8).bounce(0).end().rules() == {"seen-and-bounced"}


# ---- sessions and requests ------------------------------------------------------------


@pytest.mark.parametrize("condition", ["policy-violation", "bad-request", "other-request",
                                       "item-not-found", "host-unknown", "system-shutdown",
                                       "remote-connection-failed", "remote-stream-error", None])
def test_session_that_ends_without_cause(condition):
    story = ordinary().ask(R + 4).answer(R + 4, type="terminate", condition=condition).end()
    assert story.rules() == {"ended-without-cause"}


@pytest.mark.parametrize("fault,condition", [("error", "remote-stream-error"),
                                             ("close", "remote-stream-error"),
                                             ("reset", "remote-connection-failed"),
                                             ("fin", "remote-connection-failed")])
def test_server_is_a_cause(fault, condition):
    story = (ordinary().ask(R + 4).add("S.fault", fault)
             .answer(R + 4, type="terminate", condition=condition).end(eof="cut"))
    assert story.rules() == set()
    assert dict(story.checker.causes) == {"server": 1}


def test_killed_connector_is_a_cause():
    story = (ordinary().ask(R + 4).fault("kill connector", 1)
             .answer(R + 4, type="terminate", condition="remote-connection-failed").end(eof="cut"))
    assert story.rules() == set()
    assert dict(story.checker.causes) == {"connector killed": 1}


def test_inactivity_is_a_cause_after_that_time_only():
    story = (ordinary().wait(30).ask(R + 4)
             .answer(R + 4, type="terminate", condition="item-not-found").end())
    assert story.rules() == set()


def test_damage_is_bounded_by_the_processes_killed():
    story = (ordinary().ask(R + 4).fault("kill child", 1)
             .answer(R + 4, type="terminate", condition="internal-server-error").end())
    assert story.rules() == set()
    assert dict(story.checker.causes) == {"damaged": 1}
    story = (ordinary().ask(R + 4)
             .answer(R + 4, type="terminate", condition="internal-server-error").end())
    assert story.rules() == {"too-many-damaged"}


def test_damage_that_only_the_log_tells_of():
    story = vanished(acks=True).fault("kill child", 1).add("S.eof", "closed")
    assert story.rules([300.0, "H.log", "damaged", 1]) == set()


def test_stream_cut_without_cause():
    assert ordinary().terminate(R + 4).end(eof="cut").rules() == {"ended-without-cause"}


@pytest.mark.parametrize("status,after", [(400, None), (403, None), (404, None), (500, None),
                                          (503, None)])
def test_status_that_sane_requests_never_get(status, after):
    story = (ordinary().ask(R + 4).status(R + 4, status, after).again(R + 4).answer(R + 4)
             .terminate(R + 5).end())
    assert story.rules() == {"http-status"}


def test_told_to_come_later_passes():
    story = (ordinary().ask(R + 4).status(R + 4, 503, "1").again(R + 4).answer(R + 4)
             .terminate(R + 5).end())
    assert story.rules() == set()


def test_request_that_is_answered_too_late():
    story = ordinary().ask(R + 4).wait(11 + check.GRACE).answer(R + 4).terminate(R + 5).end()
    assert story.rules() == {"unanswered"}


def test_stopped_process_answers_late():
    story = (ordinary().ask(R + 4).fault("stop child", 1).wait(11 + check.GRACE)
             .note("go on", 1).answer(R + 4).terminate(R + 5).end())
    assert story.rules() == set()


def held_with_a_stanza(wait=check.WAKE + 0.5):
    return ordinary().ask(R + 4).sends(3).wait(wait)


def test_wake_up_that_is_lost():
    story = held_with_a_stanza().answer(R + 4, [3]).terminate(R + 5).end()
    assert story.rules() == {"woken-late"}


def test_wake_up_in_time_passes():
    story = held_with_a_stanza(check.WAKE - 0.5).answer(R + 4, [3]).terminate(R + 5).end()
    assert story.rules() == set()


def test_stanza_that_finds_no_request_may_wait():
    story = ordinary().sends(3).wait(check.WAKE + 1).ask(R + 4).answer(R + 4, [3])
    assert story.terminate(R + 5).end().rules() == set()


def test_stanza_that_waits_for_a_request_that_was_cut_off_passes():
    story = (ordinary().ask(R + 4).ask(R + 5, "data", up=[2]).gets(2).sends(3).lost(R + 4)
             .wait(check.WAKE).again(R + 4).answer(R + 4).answer(R + 5, [3]).terminate(R + 6).end())
    assert story.rules() == set()


@pytest.mark.parametrize("seconds,rules", [(2, set()), (0.2, {"woken-late"})])
def test_time_in_which_somebody_was_not_run_does_not_count(seconds, rules):
    story = held_with_a_stanza().late(seconds).answer(R + 4, [3]).terminate(R + 5).end()
    assert story.rules() == rules


def test_times_in_which_nobody_was_run_count_once():
    still = check.Stillness()
    still.begin(1, 10.0)
    still.late(3.0, 13.0)
    still.end(1, 12.0)
    still.begin(2, 20.0)
    still.end(3, 20.0)
    assert still.within(11.0, 30.0) == (13.0 + check.AFTERMATH - 11.0) + (30.0 - 20.0)
    assert still.within(14.0, 19.0) == 0.0


def test_request_that_is_never_answered():
    story = ordinary().ask(R + 4).wait(60).lost(R + 4, "no answer").again(R + 4).answer(R + 4)
    assert story.terminate(R + 5).end().rules() == {"unanswered"}


def test_client_that_does_not_get_on():
    assert ordinary().ask(R + 4).add("S.eof", "closed").add("C.end", "stuck").rules() == {"stuck"}


def test_stream_that_is_left_open():
    assert ordinary().terminate(R + 4).add("C.end", "told").rules() == {"left-open"}


def test_client_must_repeat_its_own_bytes():
    story = ordinary().ask(R + 4).lost(R + 4).add("C.again", R + 4, "other").answer(R + 4)
    assert story.terminate(R + 5).end().rules() == {"client"}


def test_a_problem_names_session_and_rid():
    story = ordinary().again(R + 3).answer(R + 3, [2], sha="other").terminate(R + 4).end()
    story.rules()
    rule, session, rid, when, text = story.checker.problems[0]
    assert (rule, session, rid) == ("repeat-altered", "s1", R + 3) and when > 100 and text
