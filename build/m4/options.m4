dnl Licensed under the Apache License, Version 2.0; see LICENSE.
dnl
dnl What may be chosen on configure's command line.
AC_DEFUN([BOSH_OPTIONS], [
AC_ARG_WITH([apxs],
    [AS_HELP_STRING([--with-apxs=PATH], [httpd's apxs, which tells where its headers and modules are])],
    [], [with_apxs=])
AC_ARG_WITH([moduledir],
    [AS_HELP_STRING([--with-moduledir=DIR], [where mod_bosh.so is installed @<:@what apxs says@:>@])],
    [], [with_moduledir=])
AC_ARG_ENABLE([werror],
    [AS_HELP_STRING([--enable-werror], [make warnings errors])],
    [], [enable_werror=no])
AC_ARG_ENABLE([asan],
    [AS_HELP_STRING([--enable-asan], [build with the address and undefined-behaviour sanitizers])],
    [], [enable_asan=no])
AC_ARG_ENABLE([faults],
    [AS_HELP_STRING([--enable-faults], [build in faults that tests call up: never for a real site])],
    [], [enable_faults=no])
AS_IF([test "$enable_faults" = yes], [BOSH_FAULTS=-DBOSH_FAULTS])
AC_SUBST([BOSH_FAULTS])
])
