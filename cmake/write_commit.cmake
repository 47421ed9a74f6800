# Run at every build: writes OUT from IN with the commit that SOURCE stands at; only when that has changed.
set(commit unknown)
find_program(git git)
if(git)
  execute_process(COMMAND ${git} -C ${SOURCE} describe --always --exclude=* --abbrev=12 --dirty
                  OUTPUT_VARIABLE told RESULT_VARIABLE failed ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(NOT failed)
    set(commit ${told})
  endif()
endif()
configure_file(${IN} ${OUT} @ONLY)
