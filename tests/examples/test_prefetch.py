"""Threads that make items ahead of their use."""

import threading

import pytest

from prefetch import prefetch


def test_passes_all_items_on_in_order_from_one_other_thread():
    makers = set()

    def numbers():
        for number in range(100):
            makers.add(threading.get_ident())
            yield number

    assert [*prefetch(prefetch(numbers()))] == [*range(100)]
    assert len(makers) == 1
    assert threading.get_ident() not in makers
    assert [*prefetch([])] == []


def test_makes_the_next_items_meanwhile_and_no_more_than_that():
    made, third = [], threading.Event()

    def numbers():
        for number in range(100):
            made.append(number)
            if number == 2:
                third.set()
            yield number

    items = prefetch(numbers(), depth=2)
    assert next(items) == 0
    assert third.wait(10)  # without being asked for it
    assert made == [0, 1, 2]
    assert next(items) == 1
    items.close()
    assert len(made) <= 4


def test_an_error_comes_in_the_place_of_its_item():
    def numbers():
        yield 1
        yield 2
        raise OSError("no more")

    items = prefetch(numbers())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(OSError, match="no more"):
        next(items)


def test_closing_ends_the_thread_and_the_blocks_of_what_made_the_items():
    closed = []

    def numbers():
        try:
            yield from range(100)
        finally:
            closed.append(True)

    before = threading.active_count()
    for number in (items := prefetch(prefetch(numbers()))):
        if number == 3:
            break
    items.close()
    assert closed == [True]
    assert threading.active_count() == before
