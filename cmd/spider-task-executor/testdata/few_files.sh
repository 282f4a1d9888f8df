#!/bin/sh
# Starts $PROGRAM with a soft limit of 250 open files.
ulimit -S -n 250
exec "$PROGRAM"
