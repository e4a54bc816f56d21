# The unit tests and fuzz replays under sanitizers. tools/test builds them in build/asan and build/tsan
# before it runs ctest here, so that one summary covers everything. Each program runs in shards, side
# by side.
foreach(suite asan tsan)
  # The model is arithmetic on one thread, and thirty years of points are too.
  set(filter "-*SessionModel*:Retention.ThirtyYears*")
  if(suite STREQUAL tsan)
    # One thread changes bytes, turns keys or loses directories there, slowly, or threads take turns:
    # nothing for the thread sanitizer to see.
    set(filter "${filter}:Tamper*:Rotation*:DeepTree*:Striped*:Repair*:Simulation*:*SimulationPlant*:CollectTest*:CopyTest.GoesOn*:AuditEntry*")
  endif()
  foreach(program base vault backup_agent)
    set(shards 1)
    if(NOT program STREQUAL base)
      set(shards 4)
    endif()
    math(EXPR last "${shards} - 1")
    foreach(shard RANGE ${last})
      add_test(NAME ${suite}.${program}.${shard}
        COMMAND ${CMAKE_BINARY_DIR}/${suite}/bin/test_${program} --gtest_brief=1 --gtest_filter=${filter})
      set_tests_properties(${suite}.${program}.${shard} PROPERTIES
        TIMEOUT 1500 LABELS sanitizer
        ENVIRONMENT "GTEST_TOTAL_SHARDS=${shards};GTEST_SHARD_INDEX=${shard}")
    endforeach()
  endforeach()
endforeach()
foreach(target ${FUZZ_TARGETS})
  add_test(NAME asan.fuzz.${target}
    COMMAND ${CMAKE_BINARY_DIR}/asan/bin/fuzz_${target} --vectors ${FUZZ_VECTORS}
      --mutations ${HOLDFAST_FUZZ_MUTATIONS} ${CMAKE_SOURCE_DIR}/tests/fuzz/regressions/${target})
  set_tests_properties(asan.fuzz.${target} PROPERTIES TIMEOUT 900 LABELS sanitizer)
endforeach()
