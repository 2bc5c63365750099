!> Limited-memory BFGS by reverse communication (Liu and Nocedal 1989; Byrd, Lu, Nocedal, Zhu 1995).
!>
!> The optimiser asks for loss and gradient at a point and is called again with them.  Its whole state
!> is in plain arrays of the caller, so that a checkpoint is a copy of them.
module tf_lbfgs
   use tf_kinds, only : wp
   use tf_line_search, only : start_search, continue_search, n_search_state, longest_step
   implicit none
   private
   public :: lbfgs_step, n_lbfgs_integers, n_lbfgs_reals
   public :: task_start, task_evaluate, task_converged, task_stuck

   !> The first call: x, f, g belong to the starting point
   integer, parameter :: task_start = 0
   !> Evaluate loss and gradient at x and call again
   integer, parameter :: task_evaluate = 1
   !> The largest gradient component is below the tolerance
   integer, parameter :: task_converged = 2
   !> No descent from here, even along the negative gradient: x is the best point
   integer, parameter :: task_stuck = 3

   integer, parameter :: max_trials = 20  ! per line search, as in L-BFGS-B

   ! Places in the integer and real state
   integer, parameter :: n_lbfgs_integers = 8, n_lbfgs_reals = n_search_state + 8
   integer, parameter :: i_task = 1, i_stored = 2, i_newest = 3, i_trials = 4, i_iteration = 5, &
      i_restarts = 6
   integer, parameter :: r_f = n_search_state + 1, r_step = n_search_state + 2, r_scale = n_search_state + 3, &
      r_norm = n_search_state + 4

contains

   !> One step of the optimiser
   subroutine lbfgs_step(n, m, tolerance, x, f, g, s, y, rho, x_start, g_start, direction, reals, integers)
      !> Number of variables; number of remembered steps
      integer, intent(in) :: n, m
      !> Converged when no component of the gradient is larger
      real(wp), intent(in) :: tolerance
      !> Where f and g were evaluated; on return where they are wanted next
      real(wp), intent(inout) :: x(n)
      real(wp), intent(in) :: f, g(n)
      !> Remembered changes of x and of g, and 1/(s·y)
      real(wp), intent(inout) :: s(n, m), y(n, m), rho(m)
      !> Point, gradient and direction of the current line search
      real(wp), intent(inout) :: x_start(n), g_start(n), direction(n)
      real(wp), intent(inout) :: reals(n_lbfgs_reals)
      integer, intent(inout) :: integers(n_lbfgs_integers)
      real(wp) :: slope, slope_start, step
      logical :: accepted, failed

      if (integers(i_task) == task_start) then
         integers = 0
         reals = 0.0_wp
         if (maxval(abs(g)) <= tolerance) then
            integers(i_task) = task_converged
            return
         end if
         call begin_line()
         return
      end if

      slope = dot_product(g, direction)
      step = reals(r_step)
      integers(i_trials) = integers(i_trials) + 1
      call continue_search(f, slope, step, reals(1:n_search_state), accepted, failed)
      if (.not. accepted .and. (failed .or. integers(i_trials) >= max_trials)) then
         ! The interval is too narrow to go on; a lower value is still a step forward
         accepted = f < reals(r_f)
         if (accepted) step = reals(r_step)
      end if
      if (.not. accepted .and. (failed .or. integers(i_trials) >= max_trials)) then
         ! Bad memory, or rounding: go back and try again along the gradient, once
         x = x_start
         if (integers(i_stored) == 0) then
            integers(i_task) = task_stuck
            return
         end if
         integers(i_stored) = 0
         integers(i_restarts) = integers(i_restarts) + 1
         call aim(reals(r_f), g_start)
         return
      end if
      if (.not. accepted) then
         reals(r_step) = step
         x = x_start + step*direction
         return
      end if

      slope_start = dot_product(g_start, direction)
      integers(i_iteration) = integers(i_iteration) + 1
      call remember(step, (slope - slope_start)*step, -slope_start*step)
      if (maxval(abs(g)) <= tolerance) then
         integers(i_task) = task_converged
         return
      end if
      call begin_line()

   contains

      !> Start a line search from the current x
      subroutine begin_line()
         x_start = x
         g_start = g
         call aim(f, g)
      end subroutine begin_line

      !> Choose the direction from x_start and the first trial along it
      subroutine aim(f_here, g_here)
         real(wp), intent(in) :: f_here, g_here(n)
         real(wp) :: slope_here, first
         call two_loops(g_here)
         slope_here = dot_product(g_here, direction)
         if (slope_here >= 0.0_wp) then
            integers(i_stored) = 0
            integers(i_restarts) = integers(i_restarts) + 1
            direction = -g_here
            slope_here = -dot_product(g_here, g_here)
         end if
         first = 1.0_wp
         if (integers(i_stored) == 0) then
            ! A step of length one, as in L-BFGS-B; after a restart no longer than the gradient
            first = min(1.0_wp/sqrt(-slope_here), longest_step)
            if (integers(i_restarts) > 0) first = min(1.0_wp, first)
         end if
         call start_search(f_here, slope_here, first, reals(1:n_search_state))
         reals(r_f) = f_here
         reals(r_step) = first
         integers(i_trials) = 0
         integers(i_task) = task_evaluate
         x = x_start + first*direction
      end subroutine aim

      !> Keep the last step if it has positive curvature
      subroutine remember(step, change, scale)
         real(wp), intent(in) :: step, change, scale
         integer :: k
         if (change <= epsilon(1.0_wp)*scale) return
         k = mod(integers(i_newest), m) + 1
         s(:, k) = step*direction
         y(:, k) = g - g_start
         rho(k) = 1.0_wp/change
         reals(r_scale) = change/dot_product(y(:, k), y(:, k))
         integers(i_newest) = k
         integers(i_stored) = min(integers(i_stored) + 1, m)
      end subroutine remember

      !> direction = -H g with the remembered steps (two-loop recursion)
      subroutine two_loops(g_here)
         real(wp), intent(in) :: g_here(n)
         real(wp) :: alpha(m), beta
         integer :: i, k
         direction = -g_here
         if (integers(i_stored) == 0) return
         k = integers(i_newest)
         do i = 1, integers(i_stored)
            alpha(k) = rho(k)*dot_product(s(:, k), direction)
            direction = direction - alpha(k)*y(:, k)
            k = modulo(k - 2, m) + 1
         end do
         direction = reals(r_scale)*direction
         do i = 1, integers(i_stored)
            k = mod(k, m) + 1
            beta = rho(k)*dot_product(y(:, k), direction)
            direction = direction + (alpha(k) - beta)*s(:, k)
         end do
      end subroutine two_loops

   end subroutine lbfgs_step

end module tf_lbfgs
