" SPDX-License-Identifier: MIT
" Vim syntax file: templates of hl7-inetd, see hl7-template(5)
"
" Copy the folders syntax and ftdetect to ~/.vim.

if exists("b:current_syntax")
  finish
endif

syntax case match

syntax match hl7tComment /^[ \t]*#.*$/

" Text: the name of a segment, and the delimiters as nearly all templates have them
syntax match hl7tSegment /^[ \t]*\u[A-Z0-9]\{2}\ze|/
syntax match hl7tDelimiter /[|^~&]/
syntax match hl7tEscape /\\\%([FSRETPHN]\|[XCMZ.][^\\|]*\)\\/
syntax match hl7tError /}/
syntax match hl7tBrace /{{\|}}/

" Holes; a text in quotes may hold a brace
syntax region hl7tHole matchgroup=hl7tHoleBrace start=/{\%({\)\@!/ end=/}/ oneline keepend
      \ contains=hl7tString,@hl7tSource,hl7tFilter,hl7tOr
syntax region hl7tSteering matchgroup=hl7tSteeringBrace
      \ start=/^[ \t]*\zs{\ze[ \t]*\%(when\|to\|delimiters\|charset\|if\|elif\|else\|each\|end\)\>/
      \ end=/}/ oneline keepend
      \ contains=hl7tString,@hl7tSource,hl7tFilter,hl7tKeyword,hl7tOperator,hl7tOr

syntax cluster hl7tSource contains=hl7tAddress,hl7tPosition,hl7tName
syntax match hl7tAddress contained
      \ /\<\u[A-Z0-9]\{2}\%(\[\d\+\]\)\?\%(-\d\+\%(\[\%(\d\+\|\*\)\]\)\?\%(\.\d\+\)\{,2}\)\?/
syntax match hl7tPosition /\<\d\+-\d\+\>/ contained
syntax match hl7tName /\<\%(message\|now\|id\|n\|host\|error\)\>/ contained
syntax match hl7tName /\<\%(peer\.address\|local\.port\|ack\.\%(code\|type\|text\)\)\>/ contained
syntax match hl7tName /\<error\.\%(location\|eld\|code\|severity\|text\)\>/ contained
syntax region hl7tString start=/"/ skip=/""/ end=/"/ oneline contained extend
syntax match hl7tFilter /:[ \t]*\%(required\|map\|date\|upper\|lower\|trim\|first\|pad\|replace\)\>/
      \ contained
syntax match hl7tKeyword /\<\%(when\|to\|delimiters\|source\|charset\|if\|elif\|else\|each\|end\)\>/
      \ contained
syntax match hl7tOperator /\<\%(and\|not\|in\|null\)\>\|==\|!=/ contained
syntax match hl7tOr /\<or\>/ contained

highlight default link hl7tComment Comment
highlight default link hl7tSegment Type
highlight default link hl7tDelimiter Delimiter
highlight default link hl7tEscape SpecialChar
highlight default link hl7tBrace SpecialChar
highlight default link hl7tError Error
highlight default link hl7tHoleBrace Special
highlight default link hl7tSteeringBrace PreProc
highlight default link hl7tAddress Identifier
highlight default link hl7tPosition Identifier
highlight default link hl7tName Constant
highlight default link hl7tString String
highlight default link hl7tFilter Function
highlight default link hl7tKeyword PreProc
highlight default link hl7tOperator Operator
highlight default link hl7tOr Operator

let b:current_syntax = "hl7t"
