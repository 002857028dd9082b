" SPDX-License-Identifier: MIT
" Writes the highlighting group of each character of $HL7T_FILE, a line a line, to $HL7T_OUT.
set encoding=utf-8
filetype on
syntax on
execute 'edit' fnameescape($HL7T_FILE)
let s:lines = ['filetype ' . &filetype . ' syntax ' . get(b:, 'current_syntax', 'none')]
for s:l in range(1, line('$'))
  let s:groups = []
  for s:c in range(1, len(getline(s:l)))
    call add(s:groups, synIDattr(synID(s:l, s:c, 1), 'name'))
  endfor
  call add(s:lines, join(s:groups, ','))
endfor
call writefile(s:lines, $HL7T_OUT)
qall!
