dnl Licensed under the Apache License, Version 2.0; see LICENSE.
dnl
dnl httpd, the libraries, and the tools of `make check` and friends.

dnl BOSH_MISSING(what, Debian's package)
AC_DEFUN([BOSH_MISSING],
    [AC_MSG_ERROR([$1 was not found. Debian's package: $2 (apt install $2)])])

dnl The same for what only `make check` needs: the module can be built and installed without.
AC_DEFUN([BOSH_NO_TESTS],
    [AC_MSG_WARN([$1 was not found: no "make check". Debian's package: $2 (apt install $2)])])

dnl BOSH_AS_SYSTEM(variable): -I becomes -isystem, so that our warnings are about our
dnl code. /usr/include itself must not be moved: the compiler's own headers rely on the order.
AC_DEFUN([BOSH_AS_SYSTEM], [
bosh_out=
for bosh_word in $$1; do
    AS_CASE([$bosh_word],
        [-I/usr/include|-I.], [],
        [-I*], [bosh_out="$bosh_out -isystem `AS_ECHO(["$bosh_word"]) | sed 's/^-I//'`"],
        [bosh_out="$bosh_out $bosh_word"])
done
$1=$bosh_out
])

dnl apxs knows the httpd that will load the module, and the APR that this httpd uses.
AC_DEFUN([BOSH_FIND_HTTPD], [
AC_ARG_VAR([APXS], [httpd's apxs])
AS_IF([test -n "$with_apxs"], [APXS=$with_apxs])
AC_PATH_PROGS([APXS], [apxs apxs2], [], [$PATH:/usr/sbin:/usr/local/apache2/bin])
AS_IF([test -z "$APXS" || test ! -x "$APXS"], [BOSH_MISSING([apxs (httpd's headers)], [apache2-dev])])

HTTPD_INCLUDEDIR=`$APXS -q INCLUDEDIR`
moduledir=$with_moduledir
AS_IF([test -z "$moduledir"], [moduledir=`$APXS -q LIBEXECDIR`])
AC_SUBST([moduledir])

AC_MSG_CHECKING([for httpd's version])
bosh_httpd_version=`sed -n 's/^@%:@define AP_SERVER_\(MAJOR\|MINOR\|PATCHLEVEL\)VERSION_NUMBER  *//p;s/^@%:@define AP_SERVER_PATCHLEVEL_NUMBER  *//p' \
    "$HTTPD_INCLUDEDIR/ap_release.h" 2>/dev/null | tr '\n' '.' | sed 's/\.$//'`
AC_MSG_RESULT([$bosh_httpd_version])
AS_CASE([$bosh_httpd_version],
    [2.4.*], [],
    [AC_MSG_ERROR([mod_bosh is written for httpd 2.4; $APXS tells of "$bosh_httpd_version". Debian's package: apache2-dev])])

APR_CONFIG=`$APXS -q APR_CONFIG 2>/dev/null`
APU_CONFIG=`$APXS -q APU_CONFIG 2>/dev/null`
AS_IF([test ! -x "$APR_CONFIG"], [AC_PATH_PROGS([APR_CONFIG], [apr-1-config])])
AS_IF([test ! -x "$APU_CONFIG"], [AC_PATH_PROGS([APU_CONFIG], [apu-1-config])])
AS_IF([test -z "$APR_CONFIG"], [BOSH_MISSING([apr-1-config (APR)], [libapr1-dev])])
AS_IF([test -z "$APU_CONFIG"], [BOSH_MISSING([apu-1-config (APR-util)], [libaprutil1-dev])])
APR_CPPFLAGS="`$APR_CONFIG --cppflags` `$APR_CONFIG --includes` `$APU_CONFIG --includes`"
APR_LIBS="`$APU_CONFIG --link-ld` `$APR_CONFIG --link-ld`"
HTTPD_CPPFLAGS="-I$HTTPD_INCLUDEDIR $APR_CPPFLAGS"
BOSH_AS_SYSTEM([APR_CPPFLAGS])
BOSH_AS_SYSTEM([HTTPD_CPPFLAGS])
AC_SUBST([APR_CPPFLAGS])
AC_SUBST([APR_LIBS])
AC_SUBST([HTTPD_CPPFLAGS])

bosh_save_CPPFLAGS=$CPPFLAGS
CPPFLAGS="$CPPFLAGS $HTTPD_CPPFLAGS"
AC_CHECK_HEADER([httpd.h], [], [BOSH_MISSING([httpd.h], [apache2-dev])])
AC_CHECK_HEADER([apr_global_mutex.h], [], [BOSH_MISSING([apr_global_mutex.h], [libapr1-dev])])
CPPFLAGS=$bosh_save_CPPFLAGS
])

AC_DEFUN([BOSH_FIND_LIBRARIES], [
PKG_PROG_PKG_CONFIG([0.25])
AS_IF([test -z "$PKG_CONFIG"], [BOSH_MISSING([pkg-config], [pkg-config])])
PKG_CHECK_MODULES([LIBXML2], [libxml-2.0 >= 2.9.4], [], [BOSH_MISSING([libxml2 (2.9.4 or later)], [libxml2-dev])])
PKG_CHECK_MODULES([OPENSSL], [openssl >= 1.1.1], [], [BOSH_MISSING([OpenSSL (1.1.1 or later)], [libssl-dev])])
PKG_CHECK_MODULES([CARES], [libcares >= 1.16.0], [], [BOSH_MISSING([c-ares (1.16 or later)], [libc-ares-dev])])
PKG_CHECK_MODULES([CMOCKA], [cmocka >= 1.1.5], [], [BOSH_NO_TESTS([cmocka (1.1.5 or later)], [libcmocka-dev])])
PKG_CHECK_MODULES([EXPAT], [expat], [], [BOSH_NO_TESTS([expat], [libexpat1-dev])])
LIBXML2_CPPFLAGS=$LIBXML2_CFLAGS
OPENSSL_CPPFLAGS=$OPENSSL_CFLAGS
CARES_CPPFLAGS=$CARES_CFLAGS
CMOCKA_CPPFLAGS=$CMOCKA_CFLAGS
EXPAT_CPPFLAGS=$EXPAT_CFLAGS
BOSH_AS_SYSTEM([LIBXML2_CPPFLAGS])
BOSH_AS_SYSTEM([OPENSSL_CPPFLAGS])
BOSH_AS_SYSTEM([CARES_CPPFLAGS])
BOSH_AS_SYSTEM([CMOCKA_CPPFLAGS])
BOSH_AS_SYSTEM([EXPAT_CPPFLAGS])
AC_SUBST([LIBXML2_CPPFLAGS])
AC_SUBST([OPENSSL_CPPFLAGS])
AC_SUBST([CARES_CPPFLAGS])
AC_SUBST([CMOCKA_CPPFLAGS])
AC_SUBST([EXPAT_CPPFLAGS])
])

dnl None of these is needed to build and install; the targets that use them say so.
AC_DEFUN([BOSH_FIND_TOOLS], [
AC_ARG_VAR([PYTHON], [Python 3, for the tests])
AC_PATH_PROG([PYTHON], [python3], [python3], [/usr/bin:$PATH])
AC_PATH_PROG([CLANG], [clang], [clang])
AC_PATH_PROG([CLANG_FORMAT], [clang-format], [clang-format])
AC_PATH_PROG([CPPCHECK], [cppcheck], [cppcheck])
])
