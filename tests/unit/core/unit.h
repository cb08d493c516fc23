/* Licensed under the Apache License, Version 2.0; see LICENSE. */
/* cmocka with all that it wants included first. */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
