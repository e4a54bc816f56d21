# One program per fuzz target: with clang's libFuzzer (HOLDFAST_FUZZ), or replaying seeds,
# regressions and a fixed number of mutations, which is what the tests do.
set(FUZZ_VECTORS ${CMAKE_SOURCE_DIR}/docs/formats/vectors.txt)
set(HOLDFAST_FUZZ_MUTATIONS 30000 CACHE STRING "Mutations that each fuzz test tries")
foreach(target agent_files map_pages packs plain_objects signed_objects)
  set(folder ${CMAKE_SOURCE_DIR}/tests/fuzz)
  add_executable(fuzz_${target} ${folder}/${target}.cc ${folder}/replay.cc)
  target_link_libraries(fuzz_${target} PRIVATE holdfast_backup_agent)
  if(HOLDFAST_FUZZ)
    add_executable(libfuzzer_${target} ${folder}/${target}.cc ${folder}/libfuzzer.cc)
    target_link_libraries(libfuzzer_${target} PRIVATE holdfast_backup_agent)
    target_link_options(libfuzzer_${target} PRIVATE -fsanitize=fuzzer)
  endif()
  if(HOLDFAST_TESTS)
    add_test(NAME fuzz.${target} COMMAND fuzz_${target} --vectors ${FUZZ_VECTORS}
      --mutations ${HOLDFAST_FUZZ_MUTATIONS} ${folder}/regressions/${target})
    set_tests_properties(fuzz.${target} PROPERTIES TIMEOUT 900)
  endif()
endforeach()
