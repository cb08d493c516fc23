dnl Licensed under the Apache License, Version 2.0; see LICENSE.
dnl
dnl BOSH_ROOM(room, doors, libraries)
dnl
dnl Gives the room an include path of its own: build/doors/ROOM/bosh/ in the build
dnl tree holds links to just those headers of include/bosh/ that it may know. A room
dnl that includes another door does not compile. ROOM_CPPFLAGS is what room.am uses.
AC_DEFUN([BOSH_ROOM], [
m4_foreach_w([bosh_door], [$2],
    [AC_CONFIG_LINKS([build/doors/$1/bosh/]bosh_door[.h:include/bosh/]bosh_door[.h])
])dnl
m4_pushdef([bosh_var], m4_toupper([$1])[_CPPFLAGS])dnl
bosh_var='$(BOSH_CPPFLAGS) -I$(top_builddir)/build/doors/$1 -I$(top_srcdir)/m4_case([$1], [module], [mod_bosh], [fuzz], [tests/fuzz], [mod_bosh/$1])'
m4_foreach_w([bosh_lib], [$3], [bosh_var="$bosh_var \$(bosh_lib[]_CPPFLAGS)"
])dnl
AC_SUBST(bosh_var)
m4_popdef([bosh_var])dnl
])
