#!/bin/sh
# Starts $PROGRAM where the stack is not limited.
ulimit -s unlimited
exec "$PROGRAM"
