dnl Licensed under the Apache License, Version 2.0; see LICENSE.
dnl
dnl Warnings, hardening, sanitizers. They go into variables of our own, so that CFLAGS,
dnl CPPFLAGS and LDFLAGS stay the user's (and a distribution's).

dnl BOSH_TRY_CFLAGS(variable, flags...): appends each flag that the compiler takes.
AC_DEFUN([BOSH_TRY_CFLAGS], [
for bosh_flag in $2; do
    AC_MSG_CHECKING([whether $CC takes $bosh_flag])
    bosh_save_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -Werror $bosh_flag"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
        [$1="$$1 $bosh_flag"; AC_MSG_RESULT([yes])],
        [AC_MSG_RESULT([no])])
    CFLAGS=$bosh_save_CFLAGS
done
])

dnl The same for the linker.
AC_DEFUN([BOSH_TRY_LDFLAGS], [
for bosh_flag in $2; do
    AC_MSG_CHECKING([whether the linker takes $bosh_flag])
    bosh_save_LDFLAGS=$LDFLAGS
    LDFLAGS="$LDFLAGS $bosh_flag"
    AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
        [$1="$$1 $bosh_flag"; AC_MSG_RESULT([yes])],
        [AC_MSG_RESULT([no])])
    LDFLAGS=$bosh_save_LDFLAGS
done
])

dnl _FORTIFY_SOURCE works only with optimisation, quarrels with the sanitizers, and is
dnl the user's if the user's flags name it. Level 3 needs dynamic object sizes.
AC_DEFUN([BOSH_CHOOSE_FORTIFY], [
BOSH_FORTIFY=
AS_CASE(["$enable_asan $CPPFLAGS $CFLAGS"],
    [yes*|*_FORTIFY_SOURCE*|*-O0*], [],
    [*-O*], [
        AC_MSG_CHECKING([for dynamic object sizes])
        AC_COMPILE_IFELSE([AC_LANG_SOURCE([[
#if !defined(__has_builtin)
#error "unknown"
#elif !__has_builtin(__builtin_dynamic_object_size)
#error "no"
#endif
int unused;
]])],
            [AC_MSG_RESULT([yes]); BOSH_FORTIFY=-D_FORTIFY_SOURCE=3],
            [AC_MSG_RESULT([no]); BOSH_FORTIFY=-D_FORTIFY_SOURCE=2])
    ])
AC_SUBST([BOSH_FORTIFY])
])

AC_DEFUN([BOSH_COMPILER_FLAGS], [
BOSH_CSTD=
BOSH_TRY_CFLAGS([BOSH_CSTD], [-std=gnu11])

BOSH_WARNINGS=
BOSH_TRY_CFLAGS([BOSH_WARNINGS], [-Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion \
    -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wvla \
    -Wnull-dereference -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef \
    -Wduplicated-cond -Wduplicated-branches -Wlogical-op -Wimplicit-fallthrough])
AS_IF([test "$enable_werror" = yes], [BOSH_WARNINGS="$BOSH_WARNINGS -Werror"])

BOSH_HARDENING=
BOSH_TRY_CFLAGS([BOSH_HARDENING], [-fvisibility=hidden -fno-strict-aliasing \
    -fstack-protector-strong -fstack-clash-protection -fcf-protection])

BOSH_ASAN=0
BOSH_SANITIZE=
AS_IF([test "$enable_asan" = yes], [
    BOSH_TRY_LDFLAGS([BOSH_SANITIZE], [-fsanitize=address,undefined])
    AS_IF([test -z "$BOSH_SANITIZE"],
        [AC_MSG_ERROR([--enable-asan: $CC has no sanitizers (Debian: libasan and libubsan come with gcc)])])
    BOSH_ASAN=1
    BOSH_SANITIZE="$BOSH_SANITIZE -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
])

BOSH_LDFLAGS=
BOSH_TRY_LDFLAGS([BOSH_LDFLAGS], [-Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--as-needed])

BOSH_CHOOSE_FORTIFY
AC_SUBST([BOSH_CSTD])
AC_SUBST([BOSH_WARNINGS])
AC_SUBST([BOSH_HARDENING])
AC_SUBST([BOSH_SANITIZE])
AC_SUBST([BOSH_ASAN])
AC_SUBST([BOSH_LDFLAGS])
])
