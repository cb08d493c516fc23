#!/bin/sh
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# NAME.replay, given the seeds of that name.
exec "$1" "$TOP_SRCDIR/tests/fuzz/seeds/$(basename "$1" .replay)"
