" SPDX-License-Identifier: MIT
autocmd BufNewFile,BufRead *.hl7t setfiletype hl7t
